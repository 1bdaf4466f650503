"""Where the package's config/, rviz/ and foxglove/ are. ROS-free."""

from __future__ import annotations

from pathlib import Path


def share() -> Path:
    """The folder with config/, rviz/ and foxglove/: beside the package in a source tree, share/gr1_bringup
    once installed.
    """
    here = Path(__file__).resolve()
    folders = [here.parent.parent, *(parent / "share" / "gr1_bringup" for parent in here.parents)]
    for folder in folders:
        if (folder / "config" / "policy.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"gr1_bringup's config/ is neither beside {here.parent} nor in a share/gr1_bringup above it: "
        "reinstall it"
    )
