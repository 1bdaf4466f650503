"""Videos of a person's hands with narrations, in Ego4D's layout, for video pre-training."""
