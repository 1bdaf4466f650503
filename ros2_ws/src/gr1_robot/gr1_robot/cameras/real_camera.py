"""What the sources of real cameras share: the rate that was asked for, the camera's clock, settings that change, serial numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from gr1_robot.cameras.device_clock import DeviceClock
from gr1_robot.cameras.driver import Source, SourceError, Unplugged


class RealCamera(Source):
    """A source whose frames carry the camera's own stamps. It has the options `serial` and `playback`, and live ones."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._clock = DeviceClock()
        # `open` raises rate_hz to the camera's own: one that comes back on a slower link need not reach that, but what was asked for.
        self._least_hz = self.rate_hz
        self._description = self._refused = ""
        self._changed = False

    @abstractmethod
    def _apply_settings(self) -> None:
        """Tells the open camera its settings. Raises Unplugged, or SourceError for a value that it does not take."""

    def _take_changes(self) -> None:
        """Before each read: a setting that has changed. A wrong one is a warning, and the camera goes on as it is. Raises Unplugged."""
        if not self._changed:
            return
        self._changed = False
        try:
            if self.settings["playback"]:
                raise SourceError("a recording has no settings to change")
            self._apply_settings()
            self._refused = ""
        except Unplugged:
            raise
        except SourceError as error:
            self._refused = str(error)
            self.node.get_logger().error(self._refused)

    def describe(self) -> str:
        return self._description

    def warning(self) -> str:
        return self._refused or self._clock.warning()

    def set(self, option: str, value) -> None:
        self.settings[option] = value
        self._changed = True


def pick(connected: Iterable[str], wanted: str, make: str, option: str, remedy: str) -> str:
    """The serial number of the camera to open: `wanted`, or the only one where that is empty. Raises Unplugged or SourceError.

    make: such as "RealSense"; option: the parameter that names one; remedy: what to look at when there is none.
    """
    serials = sorted(connected)
    known = ", ".join(serials) or "none"
    if wanted and wanted not in serials:
        raise Unplugged(f"no {make} with serial number {wanted} is connected (connected: {known})")
    if not serials:
        raise Unplugged(f"no {make} is connected: {remedy}")
    if not wanted and len(serials) > 1:
        raise SourceError(f"{len(serials)} {make} cameras are connected ({known}): say which with {option}")
    return wanted or serials[0]
