"""Records demonstrations: one bag per episode. `Recorder` begins and ends episodes from Python."""

from gr1_recorder.client import Recorder, RecorderError

__all__ = ["Recorder", "RecorderError"]
