"""An arm's URDF with its hand and the rig's cameras. ROS-free."""

from __future__ import annotations

from collections.abc import Sequence

from gr1_core.kinematics import GEN2_CAPSULES, GEN3_CAPSULES, Chain, gen2, gen3
from gr1_core.rig import Rig
from gr1_core.urdf_writer import BASE, TOOL, write_urdf
from gr1_robot.arm.capsules import Body, body_of

_GEN2, _GEN3 = (gen2, GEN2_CAPSULES), (gen3, GEN3_CAPSULES)
_ARMS = {"sim": _GEN2, "kinova_gen2": _GEN2, "kinova_gen3": _GEN3}
_PARENTS = {"base": BASE, "hand": TOOL}


def urdf_of(name: str, rig: Rig, joint_names: Sequence[str], chain: Chain, body: Body) -> str:
    """The URDF's text: joints and parts, and the optical frame of each camera whose pose the rig holds."""
    frames = {
        f"camera_{role}_optical_frame": (_PARENTS[camera.mount.on], camera.mount.pose)
        for role, camera in rig.cameras.items()
        if camera.mount is not None
    }
    return write_urdf(name, joint_names, chain, body.capsules, frames)


def urdf_of_robot(robot: str, rig: Rig) -> str:
    """The URDF of one of this stack's own robots with the usual tool; "" for another one."""
    if robot not in _ARMS:
        return ""
    make, parts = _ARMS[robot]
    chain = make()
    joints = tuple(f"joint_{number}" for number in range(1, 8))
    return urdf_of(robot, rig, joints, chain, body_of(rig, chain, parts))
