"""The network test: rate, jitter, loss, the verdict and its advice; the server's answer over real sockets."""

import pytest

from gr1_teleop.network_quality import NetworkQuality
from tests.teleop.https_client import HELLO
from tests.teleop.test_sessions import on

RATE = 72.0


def judged(arrival, seconds=2.0, rate=RATE, sent=lambda seq: True, trip_ms=8.0):
    """arrival(t): delay in s of the sample taken at t. sent(seq): whether the page sent it."""
    quality = NetworkQuality(timeout_s=0.15, max_age_s=0.25, window_s=10.0)
    now = 100.0
    for seq in range(int(seconds * rate)):
        if sent(seq):
            now = max(now, 100.0 + seq / rate + arrival(seq / rate))  # TCP keeps the order
            quality.add(seq, 1e3 * seq / rate, now)
    return quality.measure(now, trip_ms)


def test_a_good_network_has_its_figures_and_no_advice():
    found = judged(lambda t: 0.004)
    assert found.tone == "good" and found.advice == ""
    assert found.rate_hz == pytest.approx(RATE, rel=0.01)
    assert found.jitter_ms < 1 and found.gap_ms == pytest.approx(1e3 / RATE, rel=0.01) and found.lost == 0
    assert found.text == "72 samples/s, round trip 8 ms, jitter 0 ms, longest gap 14 ms, lost 0 %"


@pytest.mark.parametrize(
    "wrong, tone, advice",
    [
        (dict(arrival=lambda t: 0.3 if t % 1 > 0.9 else 0.004), "bad", "5 or 6 GHz"),
        (dict(arrival=lambda t: 0.06 if t % 0.5 > 0.4 else 0.004), "warn", "USB"),
        (dict(arrival=lambda t: 0.004, sent=lambda seq: seq % 10 != 5), "bad", "5 or 6 GHz"),
        (dict(arrival=lambda t: 0.2, trip_ms=400.0), "warn", "same network, without VPN"),
        (dict(arrival=lambda t: 0.004, rate=10.0), "bad", "close other pages"),
        (dict(arrival=lambda t: 0.004, rate=3.0), "bad", "close other pages"),
    ],
    ids=["stalls", "jitter", "dropped by the page", "far away", "slow headset", "very slow headset"],
)
def test_what_is_wrong_and_what_to_do(wrong, tone, advice):
    found = judged(**wrong)
    assert found.tone == tone and advice in found.advice, found


def test_the_offset_between_the_clocks_does_not_matter():
    assert judged(lambda t: 1e6).jitter_ms == pytest.approx(judged(lambda t: 0.004).jitter_ms, abs=0.1)


def test_samples_that_the_page_could_not_send_at_the_end_are_lost():
    quality = NetworkQuality(timeout_s=0.15, max_age_s=0.25)
    for seq in range(72):
        quality.add(seq, 1e3 * seq / RATE, 100.0 + seq / RATE)
    assert quality.measure(101.0).lost == 0
    assert quality.measure(101.0, last=143).lost == pytest.approx(0.5)


def test_there_is_no_verdict_on_too_little_or_on_what_is_long_ago():
    quality = NetworkQuality(timeout_s=0.15, max_age_s=0.25)
    for seq in range(int(0.4 * RATE)):
        quality.add(seq, 1e3 * seq / RATE, 100.0 + seq / RATE)
    assert quality.measure(100.4) is None
    quality.add(100, 1e3, 101.0)
    assert quality.measure(101.0) is not None and quality.measure(110.0) is None


@on
async def test_the_server_answers_each_probe_and_judges_at_the_end(rig):
    async with rig.client.socket("/ws/network") as socket:
        for seq in range(60):
            # Stamps in agreement with a page that sends at 72 Hz; all arrive at once.
            await socket.say({"type": "probe", "seq": seq, "t": 1e3 * seq / RATE})
            pong = await socket.until(lambda message: message["type"] == "pong")
            assert pong["t"] == pytest.approx(1e3 * seq / RATE) and pong["host"] > 0
        await socket.say({"type": "probes_end", "seq": 59, "rtt_ms": 8.0})
        found = await socket.until(lambda message: message["type"] == "network")
    assert set(found) >= {"tone", "text", "advice"} and rig.link.key is None


@on
async def test_nothing_but_probes_is_taken(rig):
    for message in (HELLO, {"type": "bye"}, "nonsense"):
        async with rig.client.socket("/ws/network") as socket:
            await socket.say(message)
            refused = await socket.until(lambda said: said["type"] == "refused")
            assert refused["why"]


def test_a_test_without_token_is_refused(rig):
    status, _, _ = rig.client.get("/ws/network", cookie=False)
    assert status in (401, 403)
