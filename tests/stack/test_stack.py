"""The description that `ros2 launch` and `gr1 up` share."""

import ast
import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from gr1_bringup import hardware, processes, renamed, stack
from gr1_bringup.commands.up import main as gr1_up
from gr1_core import Rig, pretrained
from gr1_core.eval import verdict
from gr1_core.sim import suites
from tests.support.waiting import eventually

FORMER_GEN3 = next(old for (name, old) in renamed.VALUES if name == "robot")


def names(**given):
    return [node.name for node in stack.nodes(stack.settings(**given))]


def parameters(name, **given):
    return dict(next(node for node in stack.nodes(stack.settings(**given)) if node.name == name).parameters)


def test_the_simulated_stack_without_arguments_shows_the_shipped_policy_at_one_task_after_another():
    chosen = stack.settings()
    assert Path(chosen["checkpoint"]) == pretrained.resolve("demo")
    assert sorted(names()) == ["arm", "camera_static", "camera_wrist", "policy", "task_sequence"]
    assert parameters("policy")["instruction"] == "" and parameters("policy")["act"] is True
    sequence = parameters("task_sequence", episodes="10")
    assert sequence["tasks"] == "all" and sequence["episodes"] == 10
    assert sequence["first_seed"] >= suites.TRAINING_SEEDS_END, "tables that no demonstration used"
    assert parameters("task_sequence", task="open_drawer,close_drawer")["tasks"] == "open_drawer,close_drawer"


def test_an_untrained_policy_is_asked_for_by_name_and_stays_on_one_table():
    assert sorted(names(checkpoint="untrained")) == ["arm", "camera_static", "camera_wrist", "policy"]
    assert parameters("policy", checkpoint="untrained")["checkpoint"] == "untrained"


def test_with_the_expert_driving_a_named_checkpoint_only_watches():
    assert sorted(names(driver="expert")) == ["arm", "camera_static", "camera_wrist", "expert"]
    watched = {"driver": "expert", "checkpoint": "untrained"}
    assert {"expert", "policy"} <= set(names(**watched))
    assert parameters("policy", **watched)["act"] is False and parameters("policy")["act"] is True


def test_an_instruction_keeps_the_policy_on_one_table():
    given = {"task": "open_drawer", "instruction": "pull"}
    assert parameters("policy", **given)["instruction"] == "pull" and "task_sequence" not in names(**given)
    assert parameters("arm", **given)["sim.task"] == "open_drawer"


@pytest.mark.parametrize("given", [{"takeover": "true"}, {"record": "true"}, {"checkpoint": "untrained"}])
def test_a_task_brings_its_own_instruction_where_the_table_is_not_replaced(given):
    assert parameters("policy", task="open_drawer", **given)["instruction"] == "open the drawer"
    assert "task_sequence" not in names(**given)


def test_recording_the_expert_needs_no_policy_unless_a_checkpoint_is_named(folder):
    recording = {"record": "true", "driver": "expert"}
    assert sorted(names(**recording)) == ["arm", "camera_static", "camera_wrist", "expert", "recorder"]
    assert "policy" in names(**recording, checkpoint=str(folder))


def test_the_expert_does_the_named_tasks_in_turn_and_no_recorded_layout_comes_twice():
    given = {"driver": "expert", "task": "open_drawer,close_drawer"}
    assert parameters("expert", **given)["tasks"] == "open_drawer,close_drawer"
    assert parameters("arm", **given)["sim.task"] == "open_drawer"
    assert parameters("expert", record="true", **given)["seeds"] > 10_000


def test_recording_the_policy_records_what_it_does():
    assert sorted(names(record="true")) == ["arm", "camera_static", "camera_wrist", "policy", "recorder"]
    assert parameters("policy", record="true")["act"] is True
    assert parameters("recorder", record="true")["operator"] == "policy"


def test_a_person_demonstrates_and_a_named_checkpoint_watches(folder):
    person = {"record": "true", "driver": "teleop"}
    assert sorted(names(**person)) == ["arm", "camera_static", "camera_wrist", "recorder", "teleop"]
    assert parameters("recorder", **person)["operator"] == "teleop"
    assert parameters("policy", **person, checkpoint=str(folder))["act"] is False, "it watches"
    real = {"robot": "kinova_gen3", **person}
    assert sorted(names(**real)) == ["arm", "camera_static", "camera_wrist", "recorder", "teleop"]
    assert parameters("teleop", **real)["instruction"] == "", "given on the page"


def test_a_person_drives_or_may_take_over_with_the_same_node(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drives = {"driver": "teleop"}
    driving = parameters("teleop", record="true", bags="demos", task="open_drawer", port="0", **drives)
    told = {
        "rig": "kinova_gen2",
        "port": 0,
        "bags": str(tmp_path / "demos"),
        "instruction": "open the drawer",
        "scene_instruction": True,
        "task_list": "",
        "operate": True,
        "reset_scene": True,
    }
    assert told.items() <= driving.items()
    assert not parameters("teleop", robot="kinova_gen3", **drives)["reset_scene"]
    beside = {"takeover": "true", "task": "open_drawer"}
    assert sorted(names(**beside)) == ["arm", "camera_static", "camera_wrist", "policy", "teleop"]
    assert parameters("teleop", **beside)["instruction"] == "", "a second one would restart the rollout"
    assert sorted(names(**drives)) == ["arm", "camera_static", "camera_wrist", "teleop"]


def test_the_users_instruction_stays_and_a_task_list_takes_its_place(tmp_path):
    own = parameters("teleop", driver="teleop", instruction="stack the red cup on the blue cup")
    assert own["instruction"] == "stack the red cup on the blue cup" and not own["scene_instruction"]
    path = tmp_path / "tasks.yaml"
    path.write_text("tasks: [open the drawer]\n")
    listed = parameters("teleop", driver="teleop", task_list=str(path))
    assert (listed["instruction"], listed["task_list"]) == ("", str(path))


def test_the_desk_is_served_for_a_policy_run_without_recorder_and_takes_no_operator():
    assert sorted(names(desk="true", task="open_drawer"))[-1] == "teleop"
    assert parameters("teleop", desk="true", task="open_drawer")["operate"] is False
    assert parameters("teleop", takeover="true", task="open_drawer")["operate"] is True


def test_what_a_node_prints_aloud_reaches_the_terminal_and_its_log_does_not(tmp_path):
    said = []
    prints = (
        "print('scan this'); print('[INFO] [1.2] [teleop]: ready'); print('[ERROR] [1.2] [teleop]: wrong')"
    )
    node = stack.Node("any", "any", "teleop", aloud=True)
    process = processes.Process(
        node, [sys.executable, "-c", prints], tmp_path / "log", os.environ, said.append
    )
    eventually(lambda: process.exit_code is not None and len(said) == 2, "the end of the process")
    assert said == ["scan this", "teleop: [ERROR] [1.2] [teleop]: wrong"]
    assert process.last_lines() == ["[INFO] [1.2] [teleop]: ready"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600, "a pairing token is nobody else's"


def test_who_demonstrates_and_where_the_bags_go_reaches_recorder_and_expert(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "record": "true",
        "driver": "expert",
        "bags": "demos",
        "images": "raw",
        "episodes": "3",
        "rig": "kinova_gen2",
    }
    told = {
        "root": str(tmp_path / "demos"),
        "images": "raw",
        "operator": "expert",
        "instruction": "",
        "rig": "kinova_gen2",
    }
    assert told.items() <= parameters("recorder", **given).items()
    assert (
        parameters("expert", **given)["record"] is True
        and parameters("expert", driver="expert")["record"] is False
    )
    assert parameters("recorder", record="true", task="open_drawer")["instruction"] == "open the drawer"


def test_recorder_and_pages_expect_the_rates_that_the_cameras_and_the_arm_are_given(tmp_path):
    (tmp_path / "lab.yaml").write_text("camera_wrist: {rate_hz: 15}\narm: {sim.state_hz: 25.0}")
    given = {"record": "true", "driver": "teleop", "hardware": str(tmp_path / "lab.yaml")}
    rates = {"hz.camera_static": hardware.defaults("camera_static")["rate_hz"], "hz.camera_wrist": 15.0}
    assert rates.items() <= parameters("teleop", **given).items()
    assert (rates | {"hz.sim_state": 25.0}).items() <= parameters("recorder", **given).items()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"robot": "kinova_gen3"}, "needs a trained one"),
        ({"robot": "kinova_gen3", "checkpoint": "untrained"}, "needs a trained one"),
        ({"robot": "kinova_gen2", "driver": "expert"}, "sees the simulated table only"),
        ({"robot": "kinova_gen2", "wrist": "sim"}, "sees the simulated arm only"),
        ({"robot": "kinova_gen2", "task": "open_drawer"}, "leave it out with robot 'kinova_gen2'"),
        ({"hardware": "nowhere.yaml"}, "no file 'nowhere.yaml'"),
        ({"robot": "ur5"}, "sim, kinova_gen2, kinova_gen3"),
        ({"task": "make_coffee"}, "open_drawer"),
        ({"task": "open_drawer,close_drawer", "takeover": "true"}, "several are done in turn by"),
        ({"driver": "expert", "task": "open_drawer,make_coffee"}, "unknown task 'make_coffee'"),
        ({"seed": "-1"}, "whole number"),
        ({"sed": "1"}, "did you mean 'seed'"),
        ({"episodes": "5", "instruction": "pull"}, "for tasks in turn"),
        ({"episodes": "5", "checkpoint": "untrained"}, "for tasks in turn"),
        ({"driver": "expert", "instruction": "pull"}, "brings its own"),
        ({"driver": "teleop", "takeover": "true"}, "a person drives already"),
        ({"driver": "expert", "ignore_replay": "true"}, "only driver 'policy' is held back"),
        ({"takeover": "true", "port": "99999"}, "from 0 to 65535"),
        ({"port": "8444"}, "add takeover:=true, driver:=teleop or desk:=true"),
        ({"driver": "teleop", "task_list": "none.yaml"}, "no file 'none.yaml'"),
        ({"bags": "demos"}, "add record:=true"),
        ({"images": "raw"}, "add record:=true"),
        ({"record": "true", "driver": "expert", "instruction": "pull"}, "brings its own"),
        ({"record": "true", "episodes": "5"}, "for tasks in turn"),
        ({"drive": "expert"}, "now 'driver'"),
        ({"teleop": "true"}, "now 'takeover'"),
        ({"collect": "true"}, "now 'record'"),
        ({"operator": "expert"}, "now 'driver'"),
        ({"driver": "vr"}, "'vr' is now 'teleop'"),
        ({"robot": FORMER_GEN3}, "is now 'kinova_gen3'"),
        ({"rig": "ur5"}, "built-in rigs are"),
        ({"rig": "nowhere.yaml"}, "nowhere.yaml"),
        ({"namespace": "2nd"}, "not a ROS name"),
        ({"namespace": "left arm"}, "not a ROS name"),
        ({"namespace": "left//arm"}, "not a ROS name"),
        ({"checkpoint": "/no/such/folder"}, "there is no such folder"),
        ({"server": "wss://gpu:8765", "checkpoint": "demo"}, "choose one of the two"),
        ({"server_access": "access.json"}, "is for a server"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(given, said):
    with pytest.raises(stack.SettingError, match=said):
        stack.settings(**given)


def test_each_robot_comes_with_its_rig_and_its_cameras(folder):
    given = {"robot": "kinova_gen2", "checkpoint": str(folder)}
    assert sorted(names(**given)) == ["arm", "camera_static", "camera_wrist", "policy"]
    assert parameters("arm", **given) == {"robot": "kinova_gen2", "rig": "kinova_gen2"}
    assert parameters("camera_static", **given)["camera_driver"] == "azure_kinect"
    assert parameters("camera_wrist", **given)["camera_driver"] == "realsense"
    assert parameters("camera_static", static="orbbec", **given)["camera_driver"] == "orbbec"
    assert (
        parameters("camera_wrist")["camera_driver"] == "sim"
        and parameters("arm", checkpoint="untrained")["rig"] == "kinova_gen2"
    )
    assert (
        stack.settings(robot="kinova_gen3", rig="kinova_gen2", checkpoint=str(folder))["rig"] == "kinova_gen2"
    )


def test_the_hardware_file_sets_parameters_of_its_nodes(tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_text(
        'camera_wrist: {realsense.serial: "0123", rate_hz: 15.0}\narm: {kinova_gen2.sdk: /opt/kinova}\n'
    )
    found = parameters("camera_wrist", hardware=str(file))
    assert (found["realsense.serial"], found["rate_hz"], found["camera_driver"]) == ("0123", 15.0, "sim")
    assert parameters("arm", hardware=str(file))["kinova_gen2.sdk"] == "/opt/kinova"
    file.write_text(
        "policy: {precision: fp32}\nrecorder: {queue_mb: 64}\nteleop: {host: 10.0.0.5, scale: 0.6}"
    )
    given = {"hardware": str(file), "takeover": "true", "record": "true"}
    assert parameters("policy", **given)["precision"] == "fp32"
    assert parameters("recorder", **given)["queue_mb"] == 64
    teleop = parameters("teleop", **given)
    assert (teleop["host"], teleop["scale"], teleop["port"]) == ("10.0.0.5", 0.6, 8443)


def test_the_kinova_sdk_is_found_by_the_loader_of_the_arm_node(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/lib")
    (tmp_path / "lab.yaml").write_text("arm: {kinova_gen2.sdk: /opt/kinova}")
    given = {"robot": "kinova_gen2", "checkpoint": str(folder), "hardware": str(tmp_path / "lab.yaml")}
    nodes = {node.name: node for node in stack.nodes(stack.settings(**given))}
    assert nodes["arm"].environment["LD_LIBRARY_PATH"] == "/opt/kinova:/usr/local/lib"
    assert not nodes["policy"].environment


def test_the_template_of_the_hardware_file_is_one():
    assert hardware.load(str(stack.share() / "config" / "hardware.yaml"))["arm"]["kinova_gen2.sdk"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[1, 2]", "parameters by node"),
        ("a: b: c", "not YAML \\(line 1"),
        ("camera_wirst: {}", "'camera_wirst', did you mean 'camera_wrist'"),
        ("kitchen: {}", "there are arm, camera_static, camera_wrist, policy, recorder, teleop"),
        ("teleop: {scael: 0.6}", "teleop has no parameter 'scael', did you mean 'scale'"),
        ("policy: {checkpoint: demo}", "policy has no parameter 'checkpoint'"),
        ("arm: {robot: sim}", "is an argument of the stack"),
        ("arm: 3", "must hold parameters"),
        ("arm: {kinova_gen2.sdk: {a: 1}}", "must be a text, a number, true/false or a list"),
        ("arm: {kinova_gen2.home: []}", "must be a text, a number, true/false or a list"),
    ],
)
def test_a_hardware_file_that_cannot_be_used_is_refused(text, said, tmp_path):
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(stack.SettingError, match=said):
        stack.settings(hardware=str(tmp_path / "lab.yaml"))


def test_the_kinect_has_an_interpreter_of_its_own(folder, monkeypatch):
    monkeypatch.setenv(stack.KINECT_PYTHON, "/opt/kinect/bin/python")
    nodes = {node.name: node for node in stack.nodes(stack.settings(static="azure_kinect"))}
    assert nodes["camera_static"].python == "/opt/kinect/bin/python" and not nodes["camera_wrist"].python
    with pytest.raises(stack.SettingError, match="no interpreter '/opt/kinect/bin/python'"):
        processes.program(nodes["camera_static"])


def test_a_namespace_may_have_several_parts():
    assert stack.settings(namespace="/cell_1/left/")["namespace"] == "cell_1/left"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint as far as it can be judged without torch."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    Rig.load("kinova_gen2").save(tmp_path / "rig.yaml")
    return tmp_path


def test_a_whole_checkpoint_for_the_same_rig_is_accepted(folder):
    assert parameters("policy", checkpoint=str(folder))["checkpoint"] == str(folder)


def test_a_checkpoint_that_is_not_whole_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(stack.SettingError, match="model.safetensors is missing"):
        stack.settings(checkpoint=str(folder))


def test_a_checkpoint_for_another_rig_is_refused(folder):
    Rig.load("calvin").save(folder / "rig.yaml")
    with pytest.raises(stack.SettingError, match="does not fit rig 'kinova_gen2'"):
        stack.settings(checkpoint=str(folder))


def test_every_node_has_a_parameter_file_that_its_executable_can_read():
    for node in stack.nodes(stack.settings()) + stack.nodes(stack.settings(driver="expert", record="true")):
        content = yaml.safe_load((stack.share() / "config" / node.config).read_text())
        assert list(content) == ["/**"] and list(content["/**"]) == ["ros__parameters"]


def test_the_environment_is_the_users_with_what_the_stack_wants_added(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    wanted = processes.environment(tmp_path)
    assert wanted["ROS_DOMAIN_ID"] == os.environ["ROS_DOMAIN_ID"]
    assert Path(wanted["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "mine.xml")
    assert processes.environment(tmp_path)["FASTRTPS_DEFAULT_PROFILES_FILE"] == "mine.xml"


def test_the_description_imports_no_ros():
    tree = ast.parse(Path(stack.__file__).read_text())
    modules = {alias.name for part in ast.walk(tree) if isinstance(part, ast.Import) for alias in part.names}
    modules |= {part.module for part in ast.walk(tree) if isinstance(part, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names) | {
        "gr1_core",
        "gr1_bringup",
    }


@pytest.mark.parametrize(
    "words, said",
    [
        (["--robot", "kinova_gen2"], "needs a trained one"),
        (["robot:=kinova_gen3", "driver:=expert"], "sees the simulated table only"),
        (["driver:=vr"], "now 'teleop'"),
        (["--checkpoint", "/no/such/folder"], "/no/such/folder"),
        (["task:=make_coffee"], "make_coffee"),
        (["--checkpoint", "[/foo]"], "[/foo]"),
        (["--video", "nowhere/video.mp4"], "no folder"),
        (["--video", "video.xyz"], "ends in .mp4"),
        (["--video", "video.webm"], "ends in .mp4"),
        (["--out", "/dev/null/run"], "--out"),
        (["--record", "--out", ".", "--bags", "/dev/null/bags"], "--bags"),
        (["--rviz"], "no program 'rviz2'"),
    ],
)
def test_gr1_up_refuses_before_it_starts_anything(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert gr1_up(words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("old", "new"), renamed.OPTIONS.items())
def test_a_former_option_is_refused_with_its_new_name(old, new, capsys):
    with pytest.raises(SystemExit) as ended:
        gr1_up([old, "expert"])
    assert ended.value.code == 2 and f"{old} is now {new}" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0", "-3", "nan", "inf", "soon"])
def test_seconds_must_be_a_number_above_zero(word, capsys):
    with pytest.raises(SystemExit) as ended:
        gr1_up([f"--seconds={word}"])
    assert ended.value.code == 2 and "not a number of seconds above 0" in capsys.readouterr().err


def test_a_node_hears_sigint_also_when_the_runner_was_started_in_the_background(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asks = "import signal; raise SystemExit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
        process = processes.Process(
            stack.Node("any", "any", "any"), [sys.executable, "-c", asks], tmp_path / "log", os.environ, print
        )
        code = eventually(
            lambda: process.exit_code is not None and (process.exit_code,), "the end of the process"
        )[0]
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 0


def test_a_checkpoint_that_failed_its_replay_is_refused_before_anything_starts(folder):
    checks = (verdict.Check("motion", False, "translation error 9.0 mm a step"),)
    verdict.Verdict(("episode_1",), checks).save(folder)
    with pytest.raises(stack.SettingError, match="translation error 9.0 mm a step; ignore_replay:=true"):
        stack.settings(checkpoint=str(folder))
    assert parameters("policy", checkpoint=str(folder), ignore_replay="true")["ignore_replay"] is True
    assert parameters("policy", checkpoint=str(folder), driver="expert")["act"] is False
