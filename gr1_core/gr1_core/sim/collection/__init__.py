"""Demonstrations from the simulated rig, as bags or directly as a dataset, with disturbances and DAgger."""
