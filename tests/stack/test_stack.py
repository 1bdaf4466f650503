"""The description that `ros2 launch` and `gr1 up` share."""

import ast
import os
import sys
from pathlib import Path

import pytest
import yaml

from gr1_bringup import processes, stack, up


def names(**given):
    return [node.name for node in stack.nodes(stack.settings(**given))]


def parameters(name, **given):
    return dict(next(node for node in stack.nodes(stack.settings(**given)) if node.name == name).parameters)


def test_the_simulated_stack_is_two_cameras_an_arm_and_the_policy():
    assert sorted(names()) == ["arm", "camera_static", "camera_wrist", "policy"]


def test_with_the_expert_driving_the_policy_only_watches():
    assert "expert" in names(drive="expert")
    assert parameters("policy", drive="expert")["act"] is False and parameters("policy")["act"] is True


def test_a_task_brings_its_own_words_unless_there_are_others():
    assert parameters("policy", task="open_drawer")["instruction"] == "open the drawer"
    assert parameters("policy", task="open_drawer", instruction="pull")["instruction"] == "pull"


@pytest.mark.parametrize(
    "given, said",
    [
        ({"robot": "kortex"}, "not part of this version"),
        ({"robot": "ur5"}, "sim, kinova_gen2, kortex"),
        ({"task": "make_coffee"}, "open_drawer"),
        ({"seed": "-1"}, "whole number"),
        ({"sed": "1"}, "did you mean 'seed'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(given, said):
    with pytest.raises(stack.SettingError, match=said):
        stack.settings(**given)


def test_every_node_has_a_parameter_file_that_its_executable_can_read():
    for node in stack.nodes(stack.settings(drive="expert")):
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
    assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names) | {"gr1_core"}


@pytest.mark.parametrize(
    "words, said",
    [
        (["--robot", "kinova_gen2"], "driver for this arm is not part of this version"),
        (["robot:=kortex"], "driver for this arm is not part of this version"),
        (["--checkpoint", "/no/such/folder"], "/no/such/folder"),
        (["task:=make_coffee"], "make_coffee"),
    ],
)
def test_gr1_up_refuses_before_it_starts_anything(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert up.main(words) == 2
    assert said in capsys.readouterr().out.replace("\n", " ")
    assert not list(tmp_path.iterdir())
