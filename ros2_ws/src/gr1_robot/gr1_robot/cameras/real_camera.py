"""What drivers of real cameras share: rate, clock, live settings, serial numbers. ROS-free."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from gr1_robot.cameras.device_clock import DeviceClock
from gr1_robot.cameras.driver import CameraDriver, CameraError, Unplugged


class RealCamera(CameraDriver):
    """A driver whose frames carry the camera's own stamps. It has the options `serial` and `playback`, and
    live ones.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._clock = DeviceClock()
        # `open` raises rate_hz to the camera's own rate. A camera that returns on a slower link needs only
        # the requested rate.
        self._requested_hz = self.rate_hz
        self._description = self._refusal = ""
        self._settings_changed = False

    @abstractmethod
    def _apply_settings(self) -> None:
        """Writes the settings to the open camera. Raises Unplugged, or CameraError for a value that the
        camera refuses.
        """

    def _apply_changed_settings(self) -> None:
        """Called before each read. A refused value is a warning, and the camera keeps its setting. Raises
        Unplugged.
        """
        if not self._settings_changed:
            return
        self._settings_changed = False
        try:
            if self.settings["playback"]:
                raise CameraError("a recording has no settings to change")
            self._apply_settings()
            self._refusal = ""
        except Unplugged:
            raise
        except CameraError as error:
            self._refusal = str(error)
            self.node.get_logger().error(self._refusal)

    def describe(self) -> str:
        return self._description

    def warning(self) -> str:
        return self._refusal or self._clock.warning()

    def set_option(self, option: str, value) -> None:
        self.settings[option] = value
        self._settings_changed = True


def choose_serial(connected: Iterable[str], wanted: str, make: str, option: str, remedy: str) -> str:
    """The serial number of the camera to open: `wanted`, or the only one where that is empty. Raises
    Unplugged or CameraError.

    make: such as "RealSense"; option: the parameter that selects one; remedy: what to check when there is
    none. connected: one entry per camera, so that two with one number are noticed.
    """
    serials = sorted(connected)
    twice = sorted({serial for serial in serials if serials.count(serial) > 1})
    if twice and wanted in ("", *twice):
        raise CameraError(
            f"{serials.count(twice[0])} {make} cameras have the serial number {twice[0]}, so none can be "
            "selected: connect only one of them"
        )
    known = ", ".join(serials) or "none"
    if wanted and wanted not in serials:
        raise Unplugged(f"no {make} with serial number {wanted} is connected (connected: {known})")
    if not serials:
        raise Unplugged(f"no {make} is connected: {remedy}")
    if not wanted and len(serials) > 1:
        raise CameraError(f"{len(serials)} {make} cameras are connected ({known}): select one with {option}")
    return wanted or serials[0]
