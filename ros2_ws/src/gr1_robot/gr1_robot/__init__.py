"""A GR-1 rig's cameras and arm as ROS 2 nodes. `gate` is the only way to the motors."""
