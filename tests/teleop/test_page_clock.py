"""The clock: how late messages are, whatever the two clocks show and do."""

import math
import random

import pytest

from gr1_teleop.page_clock import PageClock
from gr1_teleop.protocol import RoundTrip

OFFSET_S = 5000.0
"""The host's clock minus the page's."""


def page(host):
    """ms of the page's clock at this moment of the host's."""
    return 1e3 * (host - OFFSET_S)


def trip(clock, sent, there, back, to_page=page):
    """A round trip that leaves the page at `sent` (s, the host's clock) and takes `there` and `back` s."""
    clock.add_round_trip(
        RoundTrip(to_page(sent), to_page(sent + there + back), sent + there), sent + there + back
    )


def test_a_round_trip_tells_the_offset_to_half_its_difference_of_ways():
    clock = PageClock()
    trip(clock, 6000.0, there=0.004, back=0.010)
    assert clock.offset_ms == pytest.approx(1e3 * OFFSET_S - 3.0)
    assert clock.message_age(page(6001.0), 6001.05) == pytest.approx(0.053, abs=1e-9)


def test_the_shortest_trip_is_believed_however_many_slow_ones_follow():
    clock, chance = PageClock(), random.Random(3)
    trip(clock, 6000.0, 0.001, 0.001)
    for second in range(1, 30):
        trip(clock, 6000.0 + second, chance.uniform(0.05, 0.4), 0.002)
    assert clock.offset_ms == pytest.approx(1e3 * OFFSET_S, abs=1.0)
    assert clock.message_age(page(6030.0), 6030.3) == pytest.approx(0.3, abs=0.01)


def test_round_trips_are_told_by_median_and_worst_of_a_hundred():
    clock = PageClock()
    assert math.isnan(clock.round_trip_ms(0.5)) and math.isnan(clock.offset_ms)
    for second in range(100):
        trip(clock, 6000.0 + second, 0.1 if second == 50 else 0.002, 0.003)
    assert clock.round_trip_ms(0.5) == pytest.approx(5.0)
    assert clock.round_trip_ms(0.99) == pytest.approx(5.0) and clock.round_trip_ms(1.0) == pytest.approx(
        103.0
    )


def test_before_the_first_round_trip_nothing_counts_as_fresh():
    clock = PageClock()
    assert clock.message_age(page(6000.0), 6000.010) == math.inf
    trip(clock, 6000.1, 0.001, 0.001)
    assert clock.message_age(page(6000.2), 6000.210) == pytest.approx(0.010, abs=1e-3)
    clock.reset()
    assert clock.message_age(page(6000.3), 6000.310) == math.inf, "another page, another clock"


def test_a_clock_that_stood_still_while_the_device_slept_is_noticed_with_the_next_trip():
    clock = PageClock()
    trip(clock, 6000.0, 0.001, 0.001)

    def slept(host):
        return page(host) - 60_000

    assert clock.message_age(slept(6100.0), 6100.002) == pytest.approx(60.0, abs=0.1), (
        "until then what it says counts as old"
    )
    trip(clock, 6101.0, 0.001, 0.001, slept)
    assert clock.message_age(slept(6102.0), 6102.002) == pytest.approx(0.002, abs=1e-3)


def test_clocks_may_drift():
    clock = PageClock()

    def slow(host):
        return 1e3 * (host - OFFSET_S) * (1 - 100e-6)

    for second in range(0, 1200, 10):
        trip(clock, 6000.0 + second, 0.002, 0.002, slow)
    assert clock.message_age(slow(7201.0), 7201.002) == pytest.approx(0.002, abs=0.002)


@pytest.mark.parametrize(
    "lie", [RoundTrip(0.0, 1.0, 7000.0), RoundTrip(0.0, 1.0, 5000.0), RoundTrip(0.0, 60_000.0, 6000.0)]
)
def test_a_trip_that_cannot_be_true_is_not_taken(lie):
    clock = PageClock()
    clock.add_round_trip(lie, 6000.0)
    assert math.isnan(clock.offset_ms)
