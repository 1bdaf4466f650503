"""Camera sources, found by their module's name; each has a class `Camera` (gr1_robot.cameras.driver.Source)."""
