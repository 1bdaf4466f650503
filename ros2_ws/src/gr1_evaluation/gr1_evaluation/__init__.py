"""Evaluates a policy on the running simulated stack, through the ROS graph."""
