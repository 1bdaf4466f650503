"""What `gr1 up` shows of a stack: the words on the screen, whatever the stack says."""

import io

from rich.console import Console

from gr1_bringup import status_table
from gr1_common.stack_monitor import StackSnapshot, Status
from gr1_common.text import LONGEST, printable

NOW = 100.0


def gate(message="following commands", level="OK", state="moving", **values):
    return Status(level, message, {"state": state, "reason": "none", "source": "policy", **values}, NOW)


def screen(seen: StackSnapshot, title="run") -> str:
    file = io.StringIO()
    Console(width=160, file=file).print(status_table.table(seen, title, NOW))
    return file.getvalue()


def test_text_with_brackets_is_shown_as_it_is():
    said = screen(
        StackSnapshot({"arm: gate": gate("[/foo] [bold]x", "ERROR")}, "[/foo] [bold]x"), "checkpoint [/bar]"
    )
    assert said.count("[/foo] [bold]x") == 2 and "checkpoint [/bar]" in said


def test_what_cannot_be_printed_is_escaped_and_what_is_long_is_cut():
    assert printable("lift\x1b[31m\nthe cube") == r"lift\x1b[31m\nthe cube"
    assert printable("pousse la poignée 把茄子") == "pousse la poignée 把茄子"
    assert len(printable("x" * 5000)) == LONGEST
    assert "\x1b" not in status_table.line(
        StackSnapshot({"policy: step": Status("WARN", "\x1b[2J", {}, NOW)}), 1.0, NOW
    )


def test_the_gate_says_what_it_does_in_words():
    assert "moving: following commands   from policy" in screen(StackSnapshot({"arm: gate": gate()}))
    assert "gate moving" in status_table.line(StackSnapshot({"arm: gate": gate()}), 1.0, NOW).split(" | ")
    held = StackSnapshot({"arm: gate": gate("commands have stopped coming", "WARN", "holding")})
    assert "gate holding: commands have stopped coming" in status_table.line(held, 1.0, NOW)


def test_with_the_expert_driving_the_commands_are_the_experts():
    said = screen(
        StackSnapshot(
            {"arm: gate": gate(), "expert: episodes": Status("OK", "", {"task": "open_drawer"}, NOW)}
        )
    )
    assert "from expert" in said and "from policy" not in said


def test_pairs_say_that_they_are_quantiles():
    latency = Status("OK", "", {"latency_p50_ms": "37.2", "latency_p99_ms": "54.1"}, NOW)
    assert "latency p50/p99 37/54 ms" in screen(StackSnapshot({"camera_static: stream": latency}))


def recorder(level="OK", message="recording bag_1", **values):
    figures = {
        "state": "recording",
        "bag": "bag_1",
        "seconds": "4.2",
        "mb": "7.1",
        "lost": "0",
        "gaps": "0",
        "success_episodes": "2",
    }
    return StackSnapshot({"recorder: episode": Status(level, message, figures | values, NOW)})


def test_the_recorders_line_says_what_is_recorded_and_never_leaves_out_what_is_lost():
    assert "recording bag_1: 4.2 s, 7.1 MB, lost 0, gaps 0   2 success" in screen(recorder())
    assert "lost 7" in screen(recorder(lost="7")) and "lost 7" in status_table.line(
        recorder(lost="7"), 1.0, NOW
    )
    assert "lost 7" in status_table.line(recorder(lost="7", state="idle"), 1.0, NOW)
    said = status_table.line(recorder("WARN", "camera/wrist/image_raw: nothing for 0.4 s"), 1.0, NOW)
    assert "recorder: episode: camera/wrist/image_raw: nothing for 0.4 s" in said.split(" | ")


def test_a_stack_without_a_policy_shows_none():
    assert "policy" not in screen(recorder()) and "policy" not in status_table.line(recorder(), 1.0, NOW)


def test_the_operators_line_says_who_is_there_and_whether_the_arm_follows():
    figures = {
        "operator": "Quest 3",
        "clutch": "engaged",
        "why": "",
        "pose_to_command_p50_ms": "9.6",
        "pose_to_command_p99_ms": "21.2",
    }
    driving = StackSnapshot(
        {
            "teleop: operator": Status(
                "OK", "Quest 3 drives", figures | {"rtt_ms": "4.1", "commands": "7"}, NOW
            )
        }
    )
    assert (
        "Quest 3: clutch engaged   hand to command p50/p99 10/21 ms   round trip 4 ms   commands 7"
        in screen(driving)
    )
    assert "Quest 3: clutch engaged" in status_table.line(driving, 1.0, NOW).split(" | ")
    let_go = StackSnapshot(
        {"teleop: operator": Status("OK", "", figures | {"clutch": "open", "why": "let go"}, NOW)}
    )
    assert "Quest 3: clutch open, let go" in screen(let_go)
    assert "no operator" in screen(
        StackSnapshot({"teleop: operator": Status("OK", "", {"operator": ""}, NOW)})
    )
