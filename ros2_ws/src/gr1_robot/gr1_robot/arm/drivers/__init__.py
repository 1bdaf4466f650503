"""Arm backends, found by their module's name; each has a class `Arm` (gr1_robot.arm.backend.Backend)."""
