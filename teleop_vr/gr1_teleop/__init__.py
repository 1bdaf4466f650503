"""Teleoperation: a hand in a headset's browser, a phone or a desk device moves the arm while a clutch is held.

The hand's side (protocol, filters, clutch, clock, link) is plain Python without ROS or sockets; the server brings messages, the node asks
for commands at the control rate.
"""
