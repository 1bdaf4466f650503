"""The steps of `gr1 check rig`, in their order. ROS-free."""

from __future__ import annotations

from typing import NamedTuple

from gr1_bringup.arguments import SettingError


class Step(NamedTuple):
    """name: of the function in static_steps or, where `moves`, in motion_steps.

    needed: --only does not leave it out when the arm is to move.
    """

    name: str
    moves: bool
    what: str
    needed: bool = False


STEPS = (
    Step("devices", False, "which devices answer", needed=True),
    Step("rates", False, "message rates of cameras and arm, over 5 s"),
    Step("stamps", False, "age of their messages, order of the stamps, time between the two cameras' frames"),
    Step("images", False, "what the cameras see, saved for the person to check"),
    Step("pose", False, "the reported pose against joints and workspace", needed=True),
    Step("wrench", False, "the force at rest"),
    Step("arming", True, "a person releases the arm", needed=True),
    Step("stop", True, "the emergency stop in a slow motion, refusal, release", needed=True),
    Step("moves", True, "1 cm along each axis, each way"),
    Step("turns", True, "a few degrees about each axis, each way"),
    Step("expiry", True, "commands end without a stop"),
    Step("gripper", True, "the hand closes and opens"),
    Step("home", True, "the arm goes home"),
)
_BY_NAME = {step.name: step for step in STEPS}


def choose_steps(only: str) -> list[Step]:
    """only: names as "a,b", empty: all. The chosen steps in their order, with those that motion needs.
    Raises SettingError.
    """
    names = [name for name in only.split(",") if name]
    unknown = [name for name in names if name not in _BY_NAME]
    if unknown:
        raise SettingError(f"--only: no step '{unknown[0]}'; there are {', '.join(_BY_NAME)}")
    chosen = [_BY_NAME[name] for name in names] or list(STEPS)
    moving = any(step.moves for step in chosen)
    return [step for step in STEPS if step in chosen or step.name == "devices" or (step.needed and moving)]
