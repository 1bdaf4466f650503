"""Former names of arguments, values and options: refused, with the new name. See arguments.refuse_renamed."""

ARGUMENTS = {"drive": "driver", "teleop": "takeover", "collect": "record", "operator": "driver"}
VALUES = {("driver", "vr"): "teleop", ("robot", "kortex"): "kinova_gen3"}
OPTIONS = {**{f"--{old}": f"--{new}" for old, new in ARGUMENTS.items()}, "--examine": "--evaluate"}
"""Of `gr1 up`."""
