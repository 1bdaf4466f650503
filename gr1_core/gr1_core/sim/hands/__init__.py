"""Synthetic videos of a person's hand with narrations, in Ego4D's layout, for pre-training."""
