"""Demonstrations and videos: bags, conversion to one dataset layout, windows for training."""
