"""Pairing: the right token is accepted, guessing is limited."""

import re

import cv2
import numpy as np
import pytest

from gr1_teleop.pairing import BLOCK_S, MAX_FAILURES, Pairing, TokenError, pairing_text


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_tokens_are_random_128_bits_and_survive_a_url():
    tokens = {Pairing().token for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in tokens)


@pytest.mark.parametrize("given", ["", "x", "wrong-token-wrong-token", "ünïcödé", "\ud800", "a" * 100_000])
def test_only_the_token_itself_is_allowed(given):
    pairing = Pairing("right-token-right-token")
    assert not pairing.accepts(given, "10.0.0.2", "url")
    assert pairing.accepts("right-token-right-token", "10.0.0.2", "url")


@pytest.mark.parametrize(
    "token", ["short", "with space with space", "sl/ash-sl/ash-sl/ash", "ümlaut-ümlaut-ümlaut"]
)
def test_a_given_token_must_be_hard_to_guess_and_fit_a_url(token):
    with pytest.raises(TokenError, match="at least 16 of A-Z a-z 0-9"):
        Pairing(token)


def test_ten_wrong_tries_block_an_address_for_a_minute_and_no_other():
    clock = Clock()
    pairing = Pairing(clock=clock)
    for number in range(MAX_FAILURES):
        assert not pairing.is_blocked("10.0.0.2", "url"), f"after {number} tries"
        pairing.accepts("guess", "10.0.0.2", "url")
    assert pairing.is_blocked("10.0.0.2", "url")
    assert not pairing.is_blocked("10.0.0.3", "url")
    clock.now += BLOCK_S - 0.1
    assert pairing.is_blocked("10.0.0.2", "url")
    clock.now += 0.2
    assert not pairing.is_blocked("10.0.0.2", "url")


def test_nine_wrong_tries_a_minute_go_on_for_ever():
    clock = Clock()
    pairing = Pairing(clock=clock)
    for _ in range(100):
        assert not pairing.is_blocked("10.0.0.2", "url")
        pairing.accepts("guess", "10.0.0.2", "url")
        clock.now += BLOCK_S / (MAX_FAILURES - 1)


def test_a_page_left_open_since_the_last_start_does_not_keep_its_user_from_pairing_anew():
    pairing = Pairing()
    for _ in range(2 * MAX_FAILURES):
        pairing.accepts("the token of yesterday", "10.0.0.2", "cookie")
    assert pairing.is_blocked("10.0.0.2", "cookie") and not pairing.is_blocked("10.0.0.2", "url")
    assert pairing.accepts(pairing.token, "10.0.0.2", "url")
    assert not pairing.is_blocked("10.0.0.2", "cookie")


def test_a_flood_of_addresses_does_not_fill_the_memory():
    pairing = Pairing()
    for number in range(3000):
        pairing.accepts("guess", f"10.0.{number // 256}.{number % 256}", "url")
    assert len(pairing._failures) <= 1000


def test_the_terminal_shows_a_code_the_address_and_the_fingerprint():
    url = f"https://192.168.1.20:8443/?token={Pairing().token}"
    watch = "https://192.168.1.20:8443/desk?token=watch"
    shown = pairing_text(url, watch, "AB:CD")
    assert watch in shown
    assert url in shown and "AB:CD" in shown and url.replace("/?", "/desk?") in shown
    rows = [line for line in shown.splitlines() if "█" in line]
    assert len(rows) > 15 and max(map(len, rows)) <= 60, "a code that fits a terminal of 80 columns"


def test_the_text_has_the_command_and_the_address_for_a_usb_cable():
    usb = "https://localhost:8443/?token=x"
    shown = pairing_text("https://192.168.1.20:8443/?token=x", "", "AB:CD", usb_url=usb)
    assert "adb reverse tcp:8443 tcp:8443" in shown and usb in shown
    assert "adb" not in pairing_text("https://192.168.1.20:8443/?token=x", "", "AB:CD")


def test_the_code_on_the_screen_is_read_as_the_address():
    url = f"https://192.168.1.20:8443/?token={Pairing().token}"
    rows = [line for line in pairing_text(url, "", "AB").splitlines() if "█" in line or line.startswith("▀")]
    halves = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
    image = np.array([[halves[letter][half] for letter in row] for row in rows for half in (0, 1)], np.uint8)
    read, _, _ = cv2.QRCodeDetector().detectAndDecode(
        cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    )
    assert read == url


def test_the_view_token_pairs_but_is_told_apart_and_does_not_reveal_the_other():
    pairing = Pairing("a-token-of-the-user")
    assert pairing.view_token == Pairing("a-token-of-the-user").view_token != pairing.token
    assert pairing.accepts(pairing.view_token, "1.2.3.4", "cookie") and pairing.is_view_only(
        pairing.view_token
    )
    assert pairing.accepts(pairing.token, "1.2.3.4", "cookie") and not pairing.is_view_only(pairing.token)
    assert len(pairing.view_token) >= 16
