"""Anything recorded -> one LeRobotDataset v3: sources say what there is, the driver turns each unit into a
part, merge joins the parts.
"""
