"""Azure Kinects that are not there: the call surface of pyk4a.PyK4A, with the images of a recording in
them.
"""

from __future__ import annotations

from .recording import pyk4a


class Bench:
    """cameras: those that are plugged in, by the driver's numbers; give it to pyk4a with `install`."""

    def __init__(self, file: str, serials: list[str]):
        self.cameras = [Plugged(file, serial) for serial in serials]

    def install(self, monkeypatch) -> Bench:
        monkeypatch.setattr(pyk4a, "connected_device_count", lambda: len(self.cameras))
        monkeypatch.setattr(pyk4a, "PyK4A", lambda config, device_id: self.cameras[device_id].ask(config))
        return self


class Plugged:
    """One camera. gone: every call to it fails, as after a pulled cable; busy: another program has it;
    silent: nothing comes.
    """

    def __init__(self, file: str, serial: str):
        self.serial, self._file = serial, file
        self.opened = self.is_running = self.gone = self.busy = self.silent = False
        self.config, self.controls, self.opens = None, {}, 0

    def ask(self, config) -> Plugged:
        self.config = config
        return self

    def open(self) -> None:
        self._fail_if(self.busy or self.gone or self.opened)
        self.opened, self.opens = True, self.opens + 1

    def start(self) -> None:
        self._fail_if(self.gone or not self.opened)
        self._playback = pyk4a.PyK4APlayback(self._file)
        self._playback.open()
        self.is_running = True

    def get_capture(self, timeout: int):
        self._fail_if(self.gone)
        if self.silent:
            raise pyk4a.K4ATimeoutException()
        try:
            return self._playback.get_next_capture()
        except EOFError:
            raise pyk4a.K4ATimeoutException() from None

    def stop(self) -> None:
        self._playback.close()
        self.opened = self.is_running = False
        self._fail_if(self.gone)

    def close(self) -> None:
        self.opened = False

    @property
    def calibration(self):
        return self._playback.calibration

    def __setattr__(self, name: str, value) -> None:
        if name in ("exposure", "exposure_mode_auto", "whitebalance", "whitebalance_mode_auto"):
            self.controls[name] = value
        else:
            super().__setattr__(name, value)

    def _fail_if(self, failed: bool) -> None:
        if failed:
            raise pyk4a.K4AException()
