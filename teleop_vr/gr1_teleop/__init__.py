"""Teleoperation: a headset, a phone or a desk device moves the arm while the operator holds the clutch.

`protocol`, `filters`, `hand_input`, `clutch`, `page_clock` and `operator_link` use neither ROS nor sockets.
The server receives the operator's messages. The node computes a command once per control period.
"""
