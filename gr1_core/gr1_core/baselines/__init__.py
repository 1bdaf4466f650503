"""What GR-1 is compared with: policies of other kinds that go through the same training, evaluation and runtime."""
