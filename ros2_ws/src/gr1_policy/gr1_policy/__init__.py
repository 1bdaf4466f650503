"""GR-1 as a ROS 2 lifecycle node; for the simulated rig also the scripted expert and tasks in turn."""
