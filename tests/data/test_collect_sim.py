"""`gr1 collect sim`: bags as the live stack gives them, the same bytes for the same seed."""

import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gr1_core import cli, images
from gr1_core.data import schemas
from gr1_core.data.bag import Bag, find_bags
from gr1_core.data.recovery import recover_bag, unfinished_bags
from gr1_core.data.steps import read_steps
from gr1_core.data.verification import verify_bag
from gr1_core.sim import Expert, Renderer
from gr1_core.sim.collection.bag_recording import STARTED, EpisodeRecorder
from gr1_core.sim.collection.bags import collect_bags, plan_episodes
from gr1_core.sim.state import StateView
from tests.data.synthetic import tiny_rig

RIG, TASK, SEED = tiny_rig(), "close_drawer", 1000
START = round(STARTED.timestamp() * 1e9)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """{kind: bag} of the same episode, with images of 64 x 36 and 32 x 24."""
    root, made = tmp_path_factory.mktemp("bags"), {}
    for kind in ("raw", "jpeg"):
        with EpisodeRecorder(RIG, kind) as recorder:
            success, _ = recorder.record_episode(root / kind, TASK, SEED)
        assert success
        made[kind] = Bag(root / kind)
    return made


def read(bag: Bag, topic: str) -> list[tuple[int, object]]:
    """(ns since the start, by the header's stamp or else the send time; message)."""
    found = []
    for message in bag.messages([topic]):
        stamp = schemas.header_stamp(message.type, message.data)
        found.append(
            (
                (message.publish_time if stamp is None else stamp) - START,
                schemas.deserialize(message.type, message.data),
            )
        )
    return found


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_an_episode_is_labelled_and_has_no_problems(bags, kind):
    bag = bags[kind]
    assert verify_bag(bag.folder) == [] and bag.outcome == "success" and bag.rig == RIG
    assert (bag.labels["task"], bag.labels["seed"], bag.labels["operator"]) == (TASK, str(SEED), "expert")
    ((_, instruction),) = read(bag, "/instruction")
    ((_, scene),) = read(bag, "/sim/task")
    assert instruction.data == bag.instruction == json.loads(scene.data)["instruction"]


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_topics_and_types_are_those_of_the_live_stack(bags, kind):
    documented = {}
    for line in (ROOT / "docs/reference/interfaces.md").read_text().splitlines():
        if row := re.match(r"\| (`.*?) \| (?:the same|([a-z_]+)/(\w+))", line):
            for name in re.findall("`([^`]+)`", row[1]):
                documented[f"/{name.lstrip('/')}"] = f"{row[2]}/msg/{row[3]}"
    for topic, type in bags[kind].topics.items():
        pattern = re.sub(
            "/(static|wrist)/", "/<role>/", re.sub("^/command/policy/", "/command/<source>/", topic)
        )
        assert documented[pattern] == type


def test_rates_are_those_of_the_live_stack(bags):
    counts, seconds = bags["jpeg"].counts, bags["jpeg"].duration_s
    for topic, hz in {
        "/arm/pose": 100,
        "/arm/commanded_twist": 100,
        "/joint_states": 100,
        "/arm/gripper": 100,
        "/sim/state": 50,
    }.items():
        assert counts[topic] == pytest.approx(seconds * hz, abs=2)
    for topic, hz in {
        "/camera/static/camera_info": 20,
        "/camera/wrist/image_raw/compressed": 20,
        "/command/policy/twist": 10,
    }.items():
        assert counts[topic] == pytest.approx(seconds * hz, abs=2)
    assert counts["/command/policy/gripper"] == counts["/sim/success"] == counts["/command/policy/twist"]


def test_each_command_is_the_experts_answer_to_the_state_at_its_time(bags):
    """Also for the last one, which no motion follows."""
    bag, expert = bags["jpeg"], Expert(TASK, RIG.control_hz)
    states = dict(read(bag, "/sim/state"))
    commands, grips = (
        read(bag, "/command/policy/twist"),
        [msg.data for _, msg in read(bag, "/command/policy/gripper")],
    )
    assert len(commands) > 20
    for (at, msg), closure in zip(commands, grips, strict=True):
        answer = expert.act(states[at // 10_000_000 * 10_000_000].position)
        v, w = msg.twist.linear, msg.twist.angular
        assert [v.x, v.y, v.z, w.x, w.y, w.z] == [
            *answer.linear,
            *answer.angular,
        ] and closure == answer.closure


def test_the_control_steps_of_the_bag_are_the_observations_and_the_experts_answers(bags):
    bag, expert = bags["jpeg"], Expert(TASK, RIG.control_hz)
    states = {at: StateView(msg.position) for at, msg in read(bag, "/sim/state")}
    found = list(read_steps(bag))
    assert len(found) == bag.counts["/command/policy/twist"]
    for step in found:
        at = (step.time_ns - START) // 10_000_000 * 10_000_000
        pose, answer = states[at].pose("measured"), expert.act(states[at].vector)
        arm = RIG.arm_state(pose.position, pose.quaternion)
        assert step.static.stamp == step.wrist.stamp == START + at
        assert np.allclose(step.state[:6], arm, atol=1e-6)
        assert np.allclose(
            step.action, [*RIG.delta(answer.linear, answer.angular, arm), 1 - 2 * answer.closure], atol=1e-6
        )


def test_raw_frames_show_the_state_of_their_stamp_and_jpeg_ones_are_those_encoded(bags):
    states = dict(read(bags["raw"], "/sim/state"))
    for role in ("static", "wrist"):
        raw, packed = (
            read(bags["raw"], f"/camera/{role}/image_raw"),
            read(bags["jpeg"], f"/camera/{role}/image_raw/compressed"),
        )
        assert [at for at, _ in raw] == [at for at, _ in packed]
        with Renderer(role, RIG.cameras[role].width, RIG.cameras[role].height) as camera:
            for (at, msg), (_, jpeg) in list(zip(raw, packed))[::8]:
                frame = images.from_raw(msg.encoding, msg.height, msg.width, msg.step, msg.data)
                assert np.array_equal(frame, camera.render(states[at].position))
                assert images.encode_jpeg(frame) == bytes(jpeg.data)


def test_the_gripper_state_follows_the_last_command_one_control_step_later(bags):
    bag = bags["jpeg"]
    closures = {at: msg.position[1] for at, msg in read(bag, "/arm/gripper")}
    grips = [msg.data for _, msg in read(bag, "/command/policy/gripper")]
    steps = [at // 10_000_000 * 10_000_000 for at, _ in read(bag, "/command/policy/twist")]
    assert grips[0] == 1.0 and closures[steps[0]] == closures[steps[1]] == 0.0, "the hand is open at first"
    for number in range(2, len(steps)):
        assert closures[steps[number]] == grips[number - 2], (
            "in effect since one period after the state it answered"
        )


def test_commands_follow_the_observation_that_they_answer(bags):
    """In the order of sending: state, frames, command; so a reader that takes what was sent before the
    command gets its observation.
    """
    sent = [
        (message.topic, message.publish_time - START)
        for message in bags["jpeg"].messages()
        if message.publish_time - START < 100_000_000
    ]
    first = [topic for topic, _ in sent].index("/command/policy/twist")
    before = {topic for topic, _ in sent[:first]}
    assert {
        "/arm/pose",
        "/arm/gripper",
        "/camera/static/image_raw/compressed",
        "/camera/wrist/image_raw/compressed",
    } <= before
    assert [at for _, at in sent] == sorted(at for _, at in sent)


@pytest.mark.slow
def test_the_command_records_and_continues_an_interrupted_collection_with_the_same_bytes(tmp_path, capsys):
    rig = tmp_path / "tiny.yaml"
    RIG.save(rig)
    command = [
        "collect",
        "sim",
        "--episodes",
        "3",
        "--tasks",
        "close_drawer,open_drawer",
        "--seed",
        "7",
        "--rig",
        str(rig),
        "--out",
    ]
    assert cli.main([*command, str(tmp_path / "bags"), "--workers", "2"]) == 0
    assert capsys.readouterr().out.startswith(
        f"3 episodes in {tmp_path}/bags, 0 of them from before; 3 successes"
    )
    folders = find_bags(tmp_path / "bags")
    assert [folder.name for folder in folders] == [
        "close_drawer_000007",
        "close_drawer_000008",
        "open_drawer_000007",
    ]

    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in before}
    for folder in folders[:2]:  # as a run that was killed leaves them
        (folder / "metadata.yaml").unlink()
        torn = folder / f"{folder.name}_0.mcap"
        torn.write_bytes(torn.read_bytes()[:600_000])
    recover_bag(folders[1])
    assert cli.main([*command, str(tmp_path / "bags"), "--workers", "1"]) == 0
    assert "1 of them from before; 3 successes" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert {path.parent for path in before if path.stat().st_mtime_ns == times[path]} == {folders[2]}

    for other, refusal in (
        (["--images", "raw"], "other topics than --images raw"),
        (["--rig", "kinova_gen2"], "another rig than 'kinova_gen2'"),
    ):
        assert cli.main([*command, str(tmp_path / "bags"), *other]) == 1
        assert refusal in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_collection_ends_at_once_and_leaves_no_bag_that_looks_complete(tmp_path, how):
    command = [
        sys.executable,
        "-c",
        "import sys; from gr1_core.cli import main; sys.exit(main())",
        "collect",
        "sim",
        "--episodes",
        "50",
    ]
    # A test run in the background of a script has inherited that SIGINT is ignored.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [*command, "--workers", "1", "--out", str(tmp_path)], start_new_session=True, preexec_fn=heeds
    )
    while not list(tmp_path.glob("*/*.mcap")):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    process.send_signal(how)
    assert process.wait(timeout=60) == 130
    assert len(unfinished_bags(tmp_path)) <= 1 and len(list(tmp_path.iterdir())) < 5


def test_the_plan_takes_turns_and_unknown_tasks_are_refused():
    takes = plan_episodes("open_drawer, close_drawer", 5, 40)
    assert [take.name for take in takes] == [
        f"{task}_{seed:06d}" for seed in (40, 41, 42) for task in ("open_drawer", "close_drawer")
    ][:5]
    assert len({take.name for take in plan_episodes("all", 200, 0)}) == 200
    with pytest.raises(ValueError, match="did you mean 'open_drawer'"):
        plan_episodes("open_draw", 1, 0)


def test_seeds_of_the_test_suites_are_not_planned():
    assert plan_episodes("all", 11, 99_999)[-1].seed == 99_999
    with pytest.raises(ValueError, match="12 episodes, 11 tasks in turn from seed 99999, reach seed 100000"):
        plan_episodes("all", 12, 99_999)


def test_a_rig_that_is_not_the_simulated_arms_is_refused(tmp_path):
    import dataclasses

    far = dataclasses.replace(
        RIG,
        limits=dataclasses.replace(RIG.limits, workspace_min=(2.0, 2.0, 2.0), workspace_max=(3.0, 3.0, 3.0)),
    )
    with pytest.raises(ValueError, match="is not the simulated arm's: its workspace"):
        list(collect_bags(plan_episodes("open_drawer", 1, 0), tmp_path / "new" / "bags", far))
    assert not list(tmp_path.iterdir()), "no empty folder is left"


@pytest.mark.parametrize(
    "words, refusal",
    [
        (["--out", "/etc/passwd"], "--out /etc/passwd cannot be created (File exists)"),
        (["--out", "/proc/x"], "--out /proc/x cannot be created"),
        (["--out", "bags", "--tasks", ""], "a name is empty"),
        (["--out", "bags", "--tasks", "open_drawer,"], "'open_drawer,': a name is empty"),
        (["--out", "bags", "--tasks", "nope"], "unknown task 'nope'; there are "),
    ],
)
def test_a_refusal_is_one_line_and_leaves_no_folder(tmp_path, monkeypatch, capsys, words, refusal):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["collect", "sim", "--episodes", "1", "--workers", "1", *words]) == (
        2 if "--tasks" in words else 1
    )
    error = capsys.readouterr().err
    assert (
        refusal in error
        and "did you mean" not in error
        and len(error.splitlines()) == 1
        and not list(tmp_path.iterdir())
    )
