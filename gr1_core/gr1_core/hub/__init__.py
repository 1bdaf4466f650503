"""Checkpoints and datasets on the Hugging Face hub: references `hf://owner/name`, push, pull, cards."""
