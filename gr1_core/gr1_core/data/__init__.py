"""Demonstrations and videos: bags, conversion to one data set layout, windows for training."""
