"""The arm: its node, the gate in front of the motors, motion limits, homing, and one driver for each make of
arm.
"""
