"""The objects on the table: catalogue, shapes and their MJCF."""
