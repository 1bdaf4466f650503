"""Wrong checkpoint, wrong rig, missing file, NaN weights: what the user reads, and that nothing acts."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from lifecycle_msgs.msg import State

from gr1_core import GR1, GR1Config, Rig
from gr1_core.model import checkpoint
from gr1_policy import loading


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GR1(GR1Config.demo())


@pytest.fixture
def folder(tmp_path, model):
    """A checkpoint that would be accepted."""
    checkpoint.save(tmp_path / "checkpoint", model.state_dict(), model.config, Rig.load("kinova_gen2"))
    return tmp_path / "checkpoint"


def refused(policy_node, capfd, **parameters):
    """What the node logs when it is configured with these parameters, which must not succeed."""
    node, _ = policy_node(load=loading.load, **parameters)
    node.trigger_configure()
    assert node._state_machine.current_state[0] == State.PRIMARY_STATE_UNCONFIGURED
    said = capfd.readouterr().err
    assert "cannot configure" in said and "Traceback" not in said
    return said


def test_a_right_checkpoint_is_accepted(policy_node, folder):
    node, _ = policy_node(load=loading.load, checkpoint=str(folder), threads=1)
    node.trigger_configure()
    assert node._state_machine.current_state[0] == State.PRIMARY_STATE_INACTIVE


def test_a_missing_checkpoint(policy_node, capfd, tmp_path):
    assert str(tmp_path / "nowhere") in refused(policy_node, capfd, checkpoint=str(tmp_path / "nowhere"))


def test_a_checkpoint_without_its_weights(policy_node, capfd, folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refused(policy_node, capfd, checkpoint=str(folder))


def test_a_checkpoint_for_another_rig(policy_node, capfd, folder):
    Rig.load("calvin").save(folder / "rig.yaml")
    said = refused(policy_node, capfd, checkpoint=str(folder))
    assert "does not fit rig 'kinova_gen2'" in said and "cameras.static.width" in said


def test_weights_that_are_not_a_number(policy_node, capfd, folder, model):
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = next(name for name in weights if name.endswith("weight"))
    weights[name].view(-1)[0] = float("nan")
    checkpoint.save(folder, weights, model.config, Rig.load("kinova_gen2"))
    said = refused(policy_node, capfd, checkpoint=str(folder))
    assert "NaN" in said and name in said


def test_an_untrained_model_on_a_real_robot(policy_node, capfd):
    assert "needs a trained checkpoint" in refused(policy_node, capfd, robot="kinova_gen2")


def test_a_rig_that_does_not_exist(policy_node, capfd):
    assert "built-in rigs are" in refused(policy_node, capfd, rig="ur5")


def run(*parameters, until=None):
    """The node as a process: exit code and output. until: a text after which it gets a SIGINT."""
    ros = [word for parameter in parameters for word in ("-p", parameter)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gr1_policy.policy_node", "--ros-args", *ros],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy(),
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if until and until in line:
            process.send_signal(signal.SIGINT)
    return process.wait(30), "".join(said)


def test_a_process_that_cannot_configure_itself_ends_with_exit_code_1():
    code, said = run("autostart:=true", "robot:=kinova_gen2")
    assert code == 1 and "cannot configure" in said


def test_a_process_says_loudly_that_its_model_is_untrained_and_ends_with_0_on_sigint():
    code, said = run("autostart:=true", "checkpoint:=untrained", until="active: waiting")
    assert code == 0 and "UNTRAINED" in said and "Traceback" not in said


def test_a_value_that_a_parameter_cannot_have():
    code, said = run("precision:=fp8")
    assert code == 1 and "fp8" in said and "bf16" in said and "Traceback" not in said
