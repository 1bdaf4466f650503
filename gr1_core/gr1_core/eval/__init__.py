"""How good a checkpoint is: replay over recorded demonstrations."""
