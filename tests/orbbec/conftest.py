import os
from pathlib import Path

from ..cameras.conftest import node  # noqa: F401  (a fixture)

# As gr1 up and ros2 launch do: shared memory that several camera frames fit into.
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(
    Path(__file__).parents[2] / "launch" / "config" / "fastdds.xml"
)
