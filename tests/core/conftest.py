import json
import os

# Before torch is imported: on a busy computer, threads that wait by spinning take the processor from those
# that they wait for, and the tests of this folder take several times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest  # noqa: E402
import torch  # noqa: E402

from gr1_core import GR1Config, Policy, Rig  # noqa: E402
from gr1_core.model import checkpoint  # noqa: E402
from gr1_core.model.official import import_official  # noqa: E402

from . import golden  # noqa: E402

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    """The golden record's configuration as a configs.json file."""
    path = tmp_path_factory.mktemp("config") / "configs.json"
    path.write_text(json.dumps(golden.RECORD["config"]))
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, tiny_config):
    """The golden record's weights, imported from ByteDance's layout: a checkpoint folder."""
    folder = tmp_path_factory.mktemp("tiny")
    import_official(golden.FOLDER / "tiny_snapshot.pt", folder, config=tiny_config)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny):
    return checkpoint.load(tiny)[0]


@pytest.fixture
def demo_policy():
    return Policy.untrained(GR1Config.demo(), Rig.load("kinova_gen2"), seed=0, device="cpu", precision="fp32")
