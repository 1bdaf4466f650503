"""A GR-1 rig's cameras and arm as ROS 2 nodes. Every commanded motion passes `gate`."""
