"""Pre-training on videos and fine-tuning on demonstrations, as one recipe file a run."""
