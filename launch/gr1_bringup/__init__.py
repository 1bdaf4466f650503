"""Starts the GR-1 stack: one description for `ros2 launch` and `gr1 up`."""
