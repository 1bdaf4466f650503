"""`gr1 evaluate calvin`: the official long-horizon evaluation on CALVIN's own simulator."""
