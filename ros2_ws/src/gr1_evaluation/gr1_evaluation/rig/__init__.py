"""`gr1 evaluate rig`: which of two checkpoints is better on the running stack, blinded and in pairs."""
