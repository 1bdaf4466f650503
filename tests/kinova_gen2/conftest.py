import pytest

from .bench import Bench
from .standin import StandIn, attach


@pytest.fixture
def standin(tmp_path):
    """An arm at rest above the table, homed, hand open, driven by this process, on a clock twenty times as
    fast.
    """
    standin = StandIn(tmp_path, period=0.0005)
    attach(standin)
    return standin


@pytest.fixture
def bench(standin):
    """The backend connected to it."""
    bench = Bench(standin)
    bench.connect()
    yield bench
    bench.close()
