"""What all tests share: the ROS environment, and a client in the ROS graph."""

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Before rclpy is initialised: a domain of this run's own, and nothing from other machines.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

# Stop sockets, and the traces of arm nodes that were killed, are this run's own.
os.environ["GR1_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="gr1-tests-")
atexit.register(shutil.rmtree, os.environ["GR1_RUNTIME_DIR"], ignore_errors=True)

# Ignored signals are inherited by the programs under test: SIGHUP under nohup, SIGINT in a background job.
# A handler that does nothing is not inherited, and this process still survives the signal.
for _number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


@pytest.fixture(scope="module", autouse=True)
def no_killed_arms():
    """An arm node that a test of another file has killed is not this file's: its arm needs no person here."""
    for trace in Path(os.environ["GR1_RUNTIME_DIR"]).glob("*.run"):
        os.truncate(trace, 0)


@pytest.fixture(scope="module")
def ros():
    """A node of the test's own: subscriptions, publishers, service calls, diagnostics."""
    from tests.support.ros_graph import RosClient

    client = RosClient()
    yield client
    client.close()


def pytest_sessionfinish():
    """Tests kill nodes; what those leave in shared memory would add up over days."""
    with contextlib.suppress(ImportError):  # an environment for the tests of one part has no stack
        from gr1_bringup import shared_memory

        shared_memory.remove_dead_segments()
