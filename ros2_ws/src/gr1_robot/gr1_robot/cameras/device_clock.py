"""A camera's own stamps -> the node's clock. ROS-free.

A camera reports when it exposed a frame, on its own clock, which has an arbitrary zero and drifts. The host
knows only when the frame arrived, after a varying delay. The smallest difference between arrival and device
stamp belongs to the frame with the least delay. Adding it to a device stamp gives the exposure on the host's
clock (plus that frame's own transport time, which no stamp shows), however long the frame was queued. The
smallest difference is kept, but rises at the maximum drift of a camera's clock: a new, lasting delay shows as
age for many minutes; a delay that was present from the first frame on never shows.

All of it is computed as an age on the steady clock, so that a jump of the wall clock does not shift frames
against each other: stamp = the node's clock at arrival - age.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import NamedTuple

_SECOND = 1_000_000_000
_DRIFT = 300e-6  # maximum, of a camera's clock: crystals are within 100 ppm
# Stamps that step back, or a smallest difference that falls, by more than this: a clock was set.
_JUMP = _SECOND // 10
_WINDOW = 10 * _SECOND  # of one minimum for the drift
_WINDOWS = 12  # minima, one per window, from which the drift is computed
# A stamp that claims the host's wall clock is believed if its age lies between these.
_AHEAD, _BEHIND = -2_000_000, _SECOND
_RECENT_FRAMES = 30


class Arrival(NamedTuple):
    """When a frame arrived: int nanoseconds on the steady clock, the node's clock and the host's wall
    clock.
    """

    steady: int
    node: int
    wall: int


class DeviceClock:
    """The stamps of one camera. `stamp` is called by one thread; the figures may be read by another.

    late_s: a median delay from exposure to arrival above this is a warning.

    offset_ms: steady clock minus camera clock, nan before the first frame. drift_ppm: positive when the
    camera's clock is slow, nan until two windows of 10 s are over. delay_ms: median from stamp to arrival
    over the last 30 frames. source: which clock the newest stamp comes from. restarts: how often a clock was
    set or reset. repeated: frames refused because their stamp was not new.
    """

    def __init__(self, late_s: float = 0.1):
        self._late_ms = 1e3 * late_s
        self._last_stamp = -1
        self.restarts = self.repeated = 0
        self.source = "none yet"
        self._reset(host=False)

    def restart(self) -> None:
        """The camera has been opened, perhaps again: nothing is known of its clock. Stamps keep rising."""
        self._device = None

    def stamp(self, device: int, arrival: Arrival, host: bool = False) -> int | None:
        """Exposure in ns of the node's clock: never later than the arrival, always later than the one before.

        None for a frame whose device stamp equals that of the frame before, or is a little older: its
        exposure is unknown.

        device: the camera's stamp in ns. host: it claims to be on this computer's wall clock (the camera's
        SDK has converted it). If the node's clock itself was set back behind the last stamp, stamps start
        anew from there.
        """
        difference = arrival.steady - device
        if self._device is None or host != self._host:
            self._reset(host)
        elif self._device - _JUMP <= device <= self._device:
            self.repeated += 1
            return None
        elif device < self._device or difference < self._least - _JUMP:
            self.restarts += 1
            self._reset(host)
        self._device = device
        self._add(arrival.steady, difference)

        age = difference - self._least
        self.source = "camera clock"
        if host:
            claimed = arrival.wall - device
            if _AHEAD <= claimed <= _BEHIND:
                age, self.source = max(claimed, 0), "host clock"
            else:
                self.source = f"camera clock (it claims the host's, but is {claimed / _SECOND:.1f} s off)"
        stamp = arrival.node - age
        if arrival.node > self._last_stamp:
            stamp = max(stamp, self._last_stamp + 1)
        self._last_stamp = stamp
        self._delays.append((arrival.node - stamp) * 1e-6)
        self.delay_ms = statistics.median(self._delays)
        return stamp

    def diagnostic_values(self) -> dict[str, object]:
        """The figures for /diagnostics."""
        return {
            "stamp_source": self.source,
            "offset_ms": self.offset_ms,
            "drift_ppm": self.drift_ppm,
            "delay_ms": self.delay_ms,
            "clock_restarts": self.restarts,
            "repeated_stamps": self.repeated,
        }

    def warning(self) -> str:
        """What is wrong with the stamps, for a person; "" for nothing."""
        if self.delay_ms > self._late_ms:
            return (
                f"frames arrive {self.delay_ms:.0f} ms after their exposure (limit {self._late_ms:g} ms): "
                "a busy USB bus or computer, or a wrong stamp"
            )
        return ""

    def _reset(self, host: bool) -> None:
        self._host, self._device = host, None
        self._least: int | None = None
        self._added = 0
        self._minima: deque[tuple[int, int]] = deque(maxlen=_WINDOWS)
        self._minimum: tuple[int, int] | None = None
        self._window_end = 0
        self._delays: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self.offset_ms = self.drift_ppm = self.delay_ms = math.nan

    def _add(self, steady: int, difference: int) -> None:
        allowed = difference if self._least is None else self._least + round(_DRIFT * (steady - self._added))
        self._least = min(allowed, difference)
        self._added = steady
        self.offset_ms = self._least * 1e-6

        if self._minimum is None:
            self._minimum, self._window_end = (steady, difference), steady + _WINDOW
        elif steady < self._window_end:
            self._minimum = min(self._minimum, (steady, difference), key=lambda item: item[1])
        else:
            self._minima.append(self._minimum)
            self._minimum, self._window_end = (steady, difference), steady + _WINDOW
            if len(self._minima) > 1:
                (t0, d0), (t1, d1) = self._minima[0], self._minima[-1]
                self.drift_ppm = 1e6 * (d1 - d0) / (t1 - t0)
