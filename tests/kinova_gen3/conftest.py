import os
from pathlib import Path

import pytest

from gr1_core.rig import Rig
from gr1_robot.arm.backend import backend_options, load_backend

from .arm import StandInArm

STANDIN = str(Path(__file__).parent / "standin")


@pytest.fixture(scope="package", autouse=True)
def kortex_api():
    """The stand-in for the vendor's library, here and in every process that the tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STANDIN)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (STANDIN, os.environ.get("PYTHONPATH")))))
        yield


@pytest.fixture
def arm():
    """The stand-in arm."""
    arm = StandInArm()
    yield arm
    arm.close()


@pytest.fixture
def make(arm):
    """make(rig, option=...) -> a backend for the stand-in arm; what a test leaves open is closed."""
    made = []

    def make(rig="kinova_gen3", **changes):
        settings = {option.name: option.default for option in backend_options("kinova_gen3")}
        # The arm and the backend share this process with the test: a watchdog as watchful as on a robot would
        # be in the way.
        settings |= {
            "address": "127.0.0.1",
            "port": arm.port,
            "timeout_ms": 2000,
            "watchdog_ms": 500,
        } | changes
        made.append(load_backend("kinova_gen3", Rig.load(rig), settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def connected(make):
    """A connected backend."""
    backend = make()
    backend.connect()
    return backend
