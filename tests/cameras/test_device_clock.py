"""A camera's stamps on the node's clock, for clocks that drift, arrivals that jitter and walls that jump."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_robot.cameras.device_clock import Arrival, DeviceClock

MS, S = 1_000_000, 1_000_000_000
NODE, BOOT = (
    1_800_000_000 * S,
    77 * S,
)  # the node's clock and the steady clock when the camera takes its first frame
PERIOD = S / 30


class Camera:
    """Exposures at 30 Hz by a clock that starts at `start` ns and is slow by `ppm`."""

    def __init__(self, start=0, ppm=0.0, unit=1):
        self.start, self.ppm, self.unit = start, ppm, unit

    def device(self, true: int) -> int:
        return int((self.start + true * (1 - self.ppm * 1e-6)) // self.unit * self.unit)


def run(clock, camera, delays_ms, first=0, host=False, wall=0):
    """(true exposure, stamp, arrival) of each frame, all in ns after NODE; delays of the frames in ms. wall:
    how far it is off.
    """
    rows, last = [], -1
    for number, delay in enumerate(delays_ms):
        true = int((first + number) * PERIOD)
        arrived = max(true + int(delay * MS), last + 1)  # a queue keeps its order
        last = arrived
        stamp = clock.stamp(
            camera.device(true), Arrival(BOOT + arrived, NODE + arrived, NODE + arrived + wall), host
        )
        rows.append((true, stamp - NODE, arrived))
    return np.array(rows, dtype=np.int64)


delays = st.lists(st.floats(1.0, 400.0), min_size=2, max_size=150)


@settings(max_examples=150, deadline=None)
@given(delays, st.integers(-(10**15), 10**15), st.floats(-200, 200), st.sampled_from([1, 1000]))
def test_whatever_the_delays_a_stamp_lies_between_exposure_and_arrival(delays_ms, start, ppm, unit):
    rows = run(DeviceClock(), Camera(start, ppm, unit), delays_ms)
    true, stamp, arrived = rows.T
    assert (np.diff(stamp) > 0).all() and (stamp <= arrived).all()
    # As old as the frame is, up to the delay of the frame that was held up least so far and 5 s of drift, 300
    # + 200 ppm.
    assert (stamp - true <= np.minimum.accumulate(arrived - true) + 2.5 * MS).all() and (
        stamp - true >= -1 * MS
    ).all()


def test_a_queue_does_not_shift_the_stamps():
    delays_ms = np.full(300, 8.0)
    delays_ms[100:130] = 250.0  # the bus was busy for a second
    true, stamp, arrived = run(DeviceClock(), Camera(10**12), delays_ms).T
    assert np.abs(stamp - true - 8 * MS).max() <= MS, (
        "each stamp is 8 ms, the shortest delay, behind its exposure"
    )
    assert (arrived - stamp)[110:120].min() > 200 * MS, "and the delay is seen as an age"


def test_a_delay_that_stays_is_seen_as_an_age_for_minutes():
    clock = DeviceClock()
    _, stamp, arrived = run(clock, Camera(10**12), [15.0] * 600 + [300.0] * 30 * 300).T
    assert (arrived - stamp)[610:].min() > 190 * MS, "285 ms late, of which five minutes may hide 90"
    assert "after their exposure" in clock.warning()


@pytest.mark.parametrize("back", [0, 1, 20 * MS], ids=["the same", "1 ns older", "20 ms older"])
def test_a_frame_whose_stamp_is_not_new_is_left_out_and_counted(back):
    clock = DeviceClock()
    run(clock, Camera(10**12), [8.0] * 60)
    device, arrived = 10**12 + int(60 * PERIOD), int(60 * PERIOD) + 8 * MS
    first = clock.stamp(device, Arrival(BOOT + arrived, NODE + arrived, NODE + arrived))
    late = arrived + 500 * MS
    again = [clock.stamp(device - back, Arrival(BOOT + late, NODE + late, NODE + late)) for _ in range(3)]
    assert (
        first
        and again == [None] * 3
        and clock.diagnostic_values()["repeated_stamps"] == 3
        and clock.restarts == 0
    )
    true, stamp, _ = run(clock, Camera(10**12), [8.0] * 10, first=90).T
    assert np.abs(stamp - true - 8 * MS).max() <= MS, "the frames after it have their own age"


@pytest.mark.parametrize("ppm", [100.0, -100.0])
@pytest.mark.parametrize("unit", [1, 1000], ids=["ns", "us"])
def test_a_clock_that_drifts_is_followed_and_its_drift_measured(ppm, unit):
    frames = 30 * 600
    delays_ms = 5.0 + np.random.default_rng(0).exponential(3.0, frames)
    clock = DeviceClock()
    true, stamp, _ = run(clock, Camera(0, ppm, unit), delays_ms).T
    error = (stamp - true - 5 * MS)[300:]
    assert np.abs(error).max() < 2 * MS, "ten minutes at 100 ppm would be 60 ms"
    assert clock.drift_ppm == pytest.approx(ppm, abs=10)
    assert clock.restarts == 0


def test_a_camera_clock_that_is_reset_starts_anew():
    clock = DeviceClock()
    run(clock, Camera(10**13), [8.0] * 60)
    true, stamp, arrived = run(clock, Camera(0), [8.0] * 60, first=60).T
    assert clock.restarts == 1 and np.abs(stamp - true - 8 * MS).max() <= MS and (stamp <= arrived).all()


def test_a_camera_clock_that_leaps_ahead_starts_anew():
    clock = DeviceClock()
    run(clock, Camera(0), [8.0] * 60)
    true, stamp, _ = run(clock, Camera(3600 * S), [8.0] * 60, first=60).T
    assert clock.restarts == 1 and np.abs(stamp - true - 8 * MS).max() <= MS


def test_a_reopened_camera_is_a_new_clock_but_its_stamps_go_on_rising():
    clock = DeviceClock()
    before = run(clock, Camera(0), [8.0] * 60)
    clock.restart()
    after = run(clock, Camera(10**10), [30.0] * 60, first=90)
    assert clock.restarts == 0 and after[0, 1] > before[-1, 1] and (np.diff(after[:, 1]) > 0).all()


def arrivals(clock, jump, frames=60, host=False, follow=False, at=30, latency=20 * MS):
    """(stamp, arrival) of frames that arrive `latency` after exposure while the wall clock jumps by `jump` at
    frame `at`.

    host: stamps are of the wall clock; follow: the driver that makes them has noticed the jump.
    """
    ages = []
    for number in range(frames):
        true = int(number * PERIOD)
        now = true + latency
        off = jump if number >= at else 0
        device = NODE + true + (off if follow else 0) if host else true
        stamp = clock.stamp(device, Arrival(BOOT + now, NODE + now + off, NODE + now + off), host)
        if stamp is not None:
            ages.append((stamp, NODE + now + off))
    return ages


@given(st.integers(-3600 * S, 3600 * S), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_jump_of_the_wall_clock_makes_no_frame_look_new_or_very_old(jump, host, follow):
    ages = arrivals(DeviceClock(), jump, host=host, follow=follow)
    assert all(0 <= now - stamp <= S for stamp, now in ages)
    assert all(before < after for (before, _), (after, now) in pairwise(ages) if before < now), (
        "rising, unless the clock was set back"
    )


def test_a_wall_clock_set_back_an_hour_does_not_stop_the_stamps():
    ages = arrivals(DeviceClock(), -3600 * S)
    assert ages[-1][0] < ages[0][0] and all(now - stamp <= 20 * MS for stamp, now in ages)


def test_stamps_of_the_hosts_clock_keep_the_delay_that_they_show():
    clock = DeviceClock()
    ages = arrivals(clock, 0, host=True)
    assert all(now - stamp == 20 * MS for stamp, now in ages) and clock.source == "host clock"
    assert clock.delay_ms == pytest.approx(20.0) and not clock.warning()


def test_stamps_that_only_claim_the_hosts_clock_are_not_believed():
    clock = DeviceClock()
    ages = arrivals(clock, 3600 * S, host=True)
    assert "3600.0 s off" in clock.source and all(now - stamp <= 20 * MS for stamp, now in ages)


def test_a_usual_delay_above_the_limit_is_a_warning():
    clock = DeviceClock(late_s=0.1)
    arrivals(clock, 0, host=True, latency=150 * MS)
    assert "150 ms" in clock.warning() and clock.diagnostic_values()["delay_ms"] == pytest.approx(150.0)
