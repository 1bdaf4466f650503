"""Baselines: other policies that use the same training, evaluation and runtime as GR-1."""
