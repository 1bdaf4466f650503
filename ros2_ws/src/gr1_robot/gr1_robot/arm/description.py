"""An arm's URDF with its hand and the rig's cameras. ROS-free."""

from __future__ import annotations

from collections.abc import Sequence

from gr1_core.kinematics import Chain
from gr1_core.rig import Rig
from gr1_core.urdf_writer import BASE, TOOL, write_urdf
from gr1_robot.arm.capsules import Body

_PARENTS = {"base": BASE, "hand": TOOL}


def urdf_of(name: str, rig: Rig, joint_names: Sequence[str], chain: Chain, body: Body) -> str:
    """The URDF's text: joints and parts, and the optical frame of each camera whose pose the rig holds."""
    frames = {
        f"camera_{role}_optical_frame": (_PARENTS[camera.mount.on], camera.mount.pose)
        for role, camera in rig.cameras.items()
        if camera.mount is not None
    }
    return write_urdf(name, joint_names, chain, body.capsules, frames)
