"""Demonstrations from the simulated rig: episodes into bags or straight into a dataset, with disturbances and DAgger."""
