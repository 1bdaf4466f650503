"""What the terminal of `gr1 up` says of the policy's calls."""

from gr1_bringup.call_line import call_line

CALL = {"number": 2, "state": "calling", "reason": "static camera differs", "timeout_s": 5.0}


def test_a_call_is_said_once_with_what_to_do_and_then_its_answer():
    said = call_line(CALL, known=1)
    assert said.startswith("\aTHE POLICY CALLS: static camera differs.")  # with the terminal's bell
    assert "`gr1 confirm`" in said and "within 5 s; else the arm stops" in said
    assert call_line(CALL, known=2) == ""
    for state, words in (
        ("confirmed", "full speed"),
        ("taken_over", "a person has taken over"),
        ("latched", "stopped until arm/reset"),
        ("ended", "new instruction"),
    ):
        answered = call_line(CALL | {"state": state}, known=2)
        assert answered.startswith("call 2: ") and words in answered
