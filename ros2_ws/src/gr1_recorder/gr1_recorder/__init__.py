"""Records demonstrations: one bag per episode. `Recorder` begins and ends them from Python."""
