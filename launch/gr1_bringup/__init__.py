"""Starts the GR-1 stack and looks at it: `ros2 launch gr1_bringup policy.launch.py` and `gr1 up` share one
description.
"""
