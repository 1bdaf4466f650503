import pytest

from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import Skipped

from . import public_lerobot
from .public_lerobot import write_mapping, write_rig


@pytest.fixture
def read_lerobot(tmp_path):
    """root, changes to the mapping, rate and size of the rig's cameras -> episodes, skipped."""

    def reads(root, changes=None, hz=10, size=(public_lerobot.HEIGHT, public_lerobot.WIDTH)):
        mapping, rig = (
            write_mapping(tmp_path / "map.yaml", changes),
            write_rig(tmp_path / "rig.yaml", hz, size),
        )
        source = LeRobotSource(root, mapping, str(rig))
        found = [item for unit in source.units() for item in source.read(unit)]
        lost = [item for item in found if isinstance(item, Skipped)]
        return [item for item in found if not isinstance(item, Skipped)], lost

    return reads
