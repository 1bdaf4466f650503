"""The quality report of a dataset."""
