"""The policy's calls of the operator as events of a recorded episode."""

import json

from gr1_core.data.bag import Bag
from gr1_core.data.episode_view import episode_view
from tests.data.bag_fixture import demonstration


def test_each_call_is_one_event_with_its_reason_and_its_answer(tmp_path):
    recording = demonstration(steps=40)

    def say(at_ms, number, state):
        call = {"number": number, "state": state, "reason": f"camera {number} differs"}
        recording.add(at_ms, "/policy/call", data=json.dumps(call))

    for at_ms, number, state in (
        (200, 1, "calling"),
        (700, 1, "calling"),
        (900, 1, "taken_over"),
        (1200, 2, "calling"),
        (1300, 2, "confirmed"),
        (1500, 3, "calling"),
    ):
        say(at_ms, number, state)
    events = episode_view(Bag(recording.save(tmp_path / "bag")))["events"]
    found = [(event["text"], event["start_s"], event["end_s"]) for event in events if event["kind"] == "call"]
    assert [text for text, _, _ in found] == [
        "the policy called: camera 1 differs; taken over",
        "the policy called: camera 2 differs; confirmed",
        "the policy called: camera 3 differs",
    ]
    assert found[0][2] - found[0][1] > 0.6
