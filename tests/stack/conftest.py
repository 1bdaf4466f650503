import pytest
import torch
from rclpy.parameter import Parameter

from gr1_core import GR1Config, Policy, Rig
from gr1_policy.policy_node import PolicyNode
from tests.support.ros_graph import SpinningNodes

from .fake import FakeRig, SpyPolicy

# The nodes beside it need the other processor.
torch.set_num_threads(1)


@pytest.fixture
def rig():
    made = FakeRig()
    yield made
    made.close()


@pytest.fixture(scope="session")
def demo_policy():
    """The seeded untrained model, loaded once for all tests."""
    policy = Policy.untrained(GR1Config.demo(), Rig.load("kinova_gen2"), seed=0)
    policy.warm_up()
    return policy


@pytest.fixture
def policy_node(demo_policy):
    """make(**parameters) -> (node, spy): a policy node of the real class around the demo model, spinning."""
    spinning, nodes = [], []

    def make(load=None, **parameters):
        spy = SpyPolicy(demo_policy)
        spin = SpinningNodes()
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = PolicyNode(load or (lambda *_: spy), context=spin.context, parameter_overrides=overrides)
        if node.autostart:
            node.start()
        spin.start(node)
        spinning.append(spin)
        nodes.append(node)
        return node, spy

    yield make
    for node, spin in zip(nodes, spinning):
        spin.close(node.close)


@pytest.fixture
def running():
    """running(program) -> program; what still runs at the end of the test is killed."""
    programs = []
    yield lambda program: programs.append(program) or program
    for program in programs:
        program.close()
