"""How good a checkpoint is: evaluation in the twin, evaluation on datasets, replay over recorded episodes."""
