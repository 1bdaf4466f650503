"""GR-1 as a ROS 2 lifecycle node, the scripted expert, and tasks in turn. Only *_node.py, trial_runner and
episode_plan use ROS.
"""
