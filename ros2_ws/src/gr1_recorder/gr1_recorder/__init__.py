"""Records demonstrations: one bag per episode. `Recorder` begins and ends episodes from Python."""

__all__ = ["Recorder", "RecorderError"]


def __getattr__(name: str):
    """Imports the client, and with it rclpy, at its first use: `gr1 --help` needs neither."""
    if name in __all__:
        from gr1_recorder import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
