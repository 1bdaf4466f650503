"""Kinova Gen3 through Kortex: session, unit and frame conversion, faults in words, the link's thread and the guardian process."""
