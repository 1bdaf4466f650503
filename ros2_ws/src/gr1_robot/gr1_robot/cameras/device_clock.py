"""A camera's own time stamps -> the node's clock. No ROS import.

A camera says when it exposed a frame, on a clock of its own that starts anywhere and runs a little too fast or too slow; the host
knows only when the frame arrived, which is later by a varying delay. The smallest difference between arrival and device stamp
belongs to the frame that was held up least: adding it to a device stamp gives the exposure on the host's clock (plus that frame's own
transport, which no stamp shows), however long the frame itself was queued. The smallest difference is kept for good, but rises by as
much as the camera's clock may drift: a delay that comes and stays is seen as an age for many minutes, one that was there from the
first frame on never.

All of it is worked out on the steady clock, as an age, so that a jump of the wall clock shifts no frame against the others of its
moment: stamp = the node's clock at arrival - age.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import NamedTuple

_SECOND = 1_000_000_000
_DRIFT = 300e-6  # of a camera's clock at most: crystals are within 100 ppm
_JUMP = (
    _SECOND // 10
)  # stamps that step back, or a smallest difference that falls, by more than this: a clock was set
_WINDOW = 10 * _SECOND  # of one minimum for the drift
_BLOCKS = 12  # minima, one a window, that the drift is taken from
_AHEAD, _BEHIND = (
    -2_000_000,
    _SECOND,
)  # ages between these are believed of a stamp that claims the host's wall clock
_RECENT = 30  # frames


class Arrival(NamedTuple):
    """The moment a frame arrived, int nanoseconds on the steady clock, the node's clock and the host's wall clock."""

    steady: int
    node: int
    wall: int


class DeviceClock:
    """The stamps of one camera. `stamp` is called by one thread; the figures may be read by another.

    late_s: a usual delay from exposure to arrival above this is worth a warning.

    offset_ms: steady clock minus camera clock, nan before the first frame. drift_ppm: positive when the camera's clock is slow,
    nan until two windows of 10 s are over. delay_ms: median from stamp to arrival over the last 30 frames. source: where the
    newest stamp comes from. restarts: how often a clock was set or reset. repeated: frames refused because their stamp was not new.
    """

    def __init__(self, late_s: float = 0.1):
        self._late_ms = 1e3 * late_s
        self._last_stamp = -1
        self.restarts = self.repeated = 0
        self.source = "none yet"
        self._forget(host=False)

    def begin(self) -> None:
        """The camera has been opened, perhaps again: nothing is known of its clock. Stamps go on rising."""
        self._device = None

    def stamp(self, device: int, arrival: Arrival, host: bool = False) -> int | None:
        """Exposure in ns of the node's clock: never later than the arrival, always later than the one before.

        None for a frame whose device stamp is that of the frame before or a little older: when it was taken is not known.

        device: the camera's stamp in ns. host: it claims to be of this computer's wall clock (the driver has converted it). If the
        node's clock itself was set back behind the last stamp, stamps start anew from there.
        """
        difference = arrival.steady - device
        if self._device is None or host != self._host:
            self._forget(host)
        elif self._device - _JUMP <= device <= self._device:
            self.repeated += 1
            return None
        elif device < self._device or difference < self._least - _JUMP:
            self.restarts += 1
            self._forget(host)
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

    def values(self) -> dict[str, object]:
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
        """What is wrong with the stamps, for a person; empty when nothing is."""
        if self.delay_ms > self._late_ms:
            return (
                f"frames arrive {self.delay_ms:.0f} ms after their exposure (limit {self._late_ms:g} ms): "
                "a busy USB bus or computer, or a wrong stamp"
            )
        return ""

    def _forget(self, host: bool) -> None:
        self._host, self._device = host, None
        self._least: int | None = None
        self._added = 0
        self._blocks: deque[tuple[int, int]] = deque(maxlen=_BLOCKS)
        self._block: tuple[int, int] | None = None
        self._block_end = 0
        self._delays: deque[float] = deque(maxlen=_RECENT)
        self.offset_ms = self.drift_ppm = self.delay_ms = math.nan

    def _add(self, steady: int, difference: int) -> None:
        risen = difference if self._least is None else self._least + round(_DRIFT * (steady - self._added))
        self._least = min(risen, difference)
        self._added = steady
        self.offset_ms = self._least * 1e-6

        if self._block is None:
            self._block, self._block_end = (steady, difference), steady + _WINDOW
        elif steady < self._block_end:
            self._block = min(self._block, (steady, difference), key=lambda item: item[1])
        else:
            self._blocks.append(self._block)
            self._block, self._block_end = (steady, difference), steady + _WINDOW
            if len(self._blocks) > 1:
                (t0, d0), (t1, d1) = self._blocks[0], self._blocks[-1]
                self.drift_ppm = 1e6 * (d1 - d0) / (t1 - t0)
