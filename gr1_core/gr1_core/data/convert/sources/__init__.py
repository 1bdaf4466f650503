"""The sources of a conversion: bags, CALVIN, Ego4D, other LeRobot datasets."""
