"""Any arm that ros2_control drives, through standard topics (docs/how-to/connect_a_ros2_arm.md)."""
