"""`gr1 improve`: from corrected episodes to a better checkpoint: convert, fine-tune, compare."""
