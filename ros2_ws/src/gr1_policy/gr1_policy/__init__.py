"""GR-1 as a ROS 2 lifecycle node. Only policy_node.py knows ROS; inputs, controller and panel are plain Python."""
