"""Arm drivers, found by their package's name; its module `backend` has the class `Arm`
(gr1_robot.arm.backend.ArmBackend) and OPTIONS.
"""
