"""The rig: what the model's numbers mean on one robot.

One YAML file says which camera has which role, how the state vector is made, what one unit of action is in
metres and radians, at what rate the policy runs and how far the arm may go. Every checkpoint holds a copy.
The same code turns a live message, a recorded frame and a dataset row into the model's input.

SI units; poses in the arm's base frame (REP 103); quaternions are (x, y, z, w).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml

from gr1_core import atomic_write, strict_yaml
from gr1_core.pose import Pose
from gr1_core.renamed import RIG_KEYS
from gr1_core.strict_yaml import MayLack, Positive, PositiveInt
from gr1_core.suggestions import did_you_mean, neighbours

ROLES = ("static", "wrist")
STOP_BUDGET = 0.25
"""s from the last frame, pose or command to a commanded velocity of zero (docs/explanation/safety.md)."""
_CHECK_PERIOD = 0.01  # s, at which policy node and gate look at the ages
_COMMAND_LIFE = 1.5  # control periods
_UNIT = 1e-3  # from a quaternion's length to 1
_BUILT_IN = Path(__file__).parent / "rigs"


class RigError(ValueError):
    """A rig file that cannot be used, two rigs that do not agree, or a frame that does not fit the rig."""


@dataclass(frozen=True)
class Mount:
    """Where a camera is: the pose of its optical frame (z ahead, x right, y down) on the arm's base, or on
    its hand, the frame of the point between the fingertips. position: m. quaternion: xyzw. For viewers alone.
    """

    on: Literal["base", "hand"]
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]

    @property
    def pose(self) -> Pose:
        return Pose(np.array(self.position), np.array(self.quaternion))


@dataclass(frozen=True)
class Camera:
    """One camera's role. width, height: pixels. max_age: seconds; an older frame stops the arm.

    crop: the part that the model sees: the largest centred square, all, or the box (left, top, width, height)
    in pixels. mount: where it is; None: not known.
    """

    width: PositiveInt
    height: PositiveInt
    crop: tuple[int, int, int, int] | Literal["square", "none"]
    max_age: Positive
    mount: Mount | None = None

    def crop_problem(self) -> str:
        """Why the box is not inside the frame; empty if it is."""
        if isinstance(self.crop, str):
            return ""
        left, top, width, height = self.crop
        inside = min(left, top) >= 0 and min(width, height) > 0
        if inside and left + width <= self.width and top + height <= self.height:
            return ""
        return (
            f"{list(self.crop)}: the box [left, top, width, height] is not inside {self.width}x{self.height}"
        )

    def view(self, image: np.ndarray) -> np.ndarray:
        """The part of a frame that the model sees: u8[height, width, 3] RGB -> u8[h, w, 3], a numpy view (no
        copy).

        Raises RigError for a frame of another size than the rig's.
        """
        if not isinstance(image, np.ndarray):
            raise RigError(
                f"frame is a {type(image).__name__}, expected a numpy array uint8[{self.height}, "
                f"{self.width}, 3]"
            )
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise RigError(
                f"frame is {image.dtype}{list(image.shape)}, the rig says uint8[{self.height}, "
                f"{self.width}, 3]: "
                "set the camera to the rig's size, or change the size in the rig's YAML and retrain"
            )
        if self.crop == "none":
            return image
        if self.crop != "square":
            left, top, width, height = self.crop
            return image[top : top + height, left : left + width]
        side = min(self.width, self.height)
        top, left = (self.height - side) // 2, (self.width - side) // 2
        return image[top : top + side, left : left + side]


@dataclass(frozen=True)
class State:
    """How an end-effector pose becomes the six arm numbers of the state vector. max_age: seconds; an older
    pose stops the arm.
    """

    rotation: Literal["euler_xyz"]
    reference: tuple[float, float, float, float]
    max_age: Positive


@dataclass(frozen=True)
class Action:
    """What one unit of the model's action is: metres, radians, and the parametrisation of the rotation."""

    translation_scale: Positive
    rotation_scale: Positive
    rotation: Literal["rotation_vector", "euler_difference"]


@dataclass(frozen=True)
class Limits:
    """How far and how fast the arm may go: m, m/s, rad/s, m/s2, rad/s2, s. The arm node's gate enforces them.

    stop_time: from full speed to rest. workspace: of the point between the fingertips.
    max_following_error, max_following_angle: m and rad between commanded and measured pose.
    joint_margin: rad that each joint keeps from the end of its range.
    force: N on the hand that stops an arm which reports forces. max_tilt: rad between the hand's approach
    axis and straight down; None: not limited.
    """

    linear_speed: Positive
    angular_speed: Positive
    linear_acceleration: Positive
    angular_acceleration: Positive
    stop_time: Positive
    workspace_min: tuple[float, float, float]
    workspace_max: tuple[float, float, float]
    max_following_error: Positive
    max_following_angle: Positive
    joint_margin: Positive
    force: Positive
    max_tilt: Positive | None = None


@dataclass(frozen=True)
class Obstacle:
    """A box that no part of the arm may touch: its lowest and highest corner, m, base frame."""

    min: tuple[float, float, float]
    max: tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """A part of the arm: all points within `radius` (m) of the segment from `start` to `end` (m), in the
    frame of joint number `joint`, counted from 1; 0: fixed to the base.
    """

    joint: int
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: Positive


@dataclass(frozen=True)
class Rig:
    """See the module. Load one with `Rig.load("kinova_gen2")` or `Rig.load("path/to/rig.yaml")`.

    obstacles: what stands around the arm, by name. body: parts that the arm has beside its driver's, or that
    replace those of the same name.
    """

    name: str
    control_hz: Positive
    cameras: Annotated[Mapping[Literal["static", "wrist"], Camera], MayLack(("wrist",))]
    state: State
    action: Action
    limits: Limits
    obstacles: Mapping[str, Obstacle] = field(default_factory=dict)
    body: Mapping[str, Part] = field(default_factory=dict)

    @property
    def period(self) -> float:
        """The control period in seconds."""
        return 1.0 / self.control_hz

    # Pose -> state, action -> twist

    def arm_state(self, position, quaternion) -> np.ndarray:
        """xyz in metres and quaternion xyzw -> f64[6]: xyz, then Euler angles x, y, z (fixed axes) relative
        to the reference.
        """
        from scipy.spatial.transform import Rotation

        relative = Rotation.from_quat(quaternion) * Rotation.from_quat(self.state.reference).inv()
        return np.concatenate([np.asarray(position, np.float64), relative.as_euler("xyz")])

    def state_vector(self, position, quaternion, closure_command: float) -> np.ndarray:
        """The model's state input, f32[7]: `arm_state`, then the gripper's last command, +1 open or -1
        closed.

        closure_command: 0 open .. 1 closed. Live, from a bag and in a dataset these seven numbers are
        identical bit for bit.
        """
        return np.append(self.arm_state(position, quaternion), gripper_sign(closure_command)).astype(
            np.float32
        )

    def twist(self, delta, arm) -> tuple[np.ndarray, np.ndarray]:
        """One action -> the twist that performs it in one control period.

        delta f[6]: the model's units. arm f64[6]: the state it was computed from. -> v f64[3] m/s, w f64[3]
        rad/s, base frame.
        """
        delta = np.asarray(delta, np.float64)
        linear = delta[:3] * (self.action.translation_scale / self.period)
        turn = delta[3:6] * self.action.rotation_scale
        if self.action.rotation == "euler_difference":
            from scipy.spatial.transform import Rotation

            before = Rotation.from_euler("xyz", arm[3:6])
            turn = (Rotation.from_euler("xyz", arm[3:6] + turn) * before.inv()).as_rotvec()
        return linear, turn / self.period

    def delta(self, linear, angular, arm) -> np.ndarray:
        """The inverse of `twist`: v [3] m/s and w [3] rad/s held for one period from state arm [6] -> f64[6],
        the model's units.
        """
        turn = np.asarray(angular, np.float64) * self.period
        if self.action.rotation == "euler_difference":
            from scipy.spatial.transform import Rotation

            before = Rotation.from_euler("xyz", arm[3:6])
            turn = (Rotation.from_rotvec(turn) * before).as_euler("xyz") - arm[3:6]
            turn = (turn + np.pi) % (2 * np.pi) - np.pi
        move = np.asarray(linear, np.float64) * (self.period / self.action.translation_scale)
        return np.concatenate([move, turn / self.action.rotation_scale])

    # Files

    @classmethod
    def load(cls, source: str | Path) -> Rig:
        """A rig from the name of a built-in one or from a YAML file. Raises RigError, which names what is
        wrong.
        """
        path = Path(source)
        if not path.suffix:
            path = _BUILT_IN / f"{source}.yaml"
        if not path.is_file():
            hint = did_you_mean(str(source), [*built_in(), *neighbours(Path(source))])
            known = f": built-in rigs are {', '.join(built_in())}; or give the path of a YAML file"
            raise RigError(f"no rig '{source}'{hint or known}")
        return cls.from_dict(strict_yaml.read(path, RigError), str(path))

    @classmethod
    def from_dict(cls, raw: Mapping, where: str = "rig") -> Rig:
        """A rig from `to_dict`'s form. Raises RigError; `where` names the source in its message."""
        rig = strict_yaml.parse(cls, raw, where, RigError, renamed=RIG_KEYS)
        _require_unit(rig.state.reference, f"{where}: state.reference")
        for role, camera in rig.cameras.items():
            if problem := camera.crop_problem():
                raise RigError(f"{where}: cameras.{role}.crop {problem}")
            if camera.mount is not None:
                _require_unit(camera.mount.quaternion, f"{where}: cameras.{role}.mount.quaternion")
        if not all(low < high for low, high in zip(rig.limits.workspace_min, rig.limits.workspace_max)):
            raise RigError(f"{where}: limits.workspace_min must be below workspace_max on every axis")
        for name, box in rig.obstacles.items():
            if not all(low < high for low, high in zip(box.min, box.max)):
                raise RigError(f"{where}: obstacles.{name}.min must be below its max on every axis")
        return rig

    def with_cameras(self, roles: Collection[str]) -> Rig:
        """The same rig with only these cameras."""
        return replace(self, cameras={role: one for role, one in self.cameras.items() if role in roles})

    def longest_age(self) -> float:
        """s that a frame, a pose or a command may be old, so that STOP_BUDGET holds."""
        return STOP_BUDGET - _CHECK_PERIOD - self.limits.stop_time

    def stop_problems(self) -> list[str]:
        """Which fields together break STOP_BUDGET, with their values and the remedy."""
        ages = {f"cameras.{role}.max_age": camera.max_age for role, camera in self.cameras.items()}
        ages["state.max_age"] = self.state.max_age
        ages[f"{_COMMAND_LIFE:g} control periods (control_hz {self.control_hz:g})"] = (
            _COMMAND_LIFE * self.period
        )
        left = self.longest_age()
        return [
            f"{name} {age:g} s + {_CHECK_PERIOD:g} s + limits.stop_time {self.limits.stop_time:g} s are "
            f"{age + _CHECK_PERIOD + self.limits.stop_time:.3g} s from the last message to rest, allowed are "
            f"{STOP_BUDGET:g} s: at most {left:.3g} s remain for it"
            for name, age in ages.items()
            if age > left + 1e-9
        ]

    def to_dict(self) -> dict:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return strict_yaml.to_plain(self)

    def save(self, path: str | Path) -> None:
        """Writes the YAML file."""
        atomic_write.write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    def require_same(self, other: Rig, where: str = "") -> None:
        """Raises RigError if the other rig's state, action, cameras or rate differ. Limits, obstacles, the
        arm's parts and the cameras' mounts may differ: they belong to the place.
        """
        mine, theirs = strict_yaml.flatten(self.to_dict()), strict_yaml.flatten(other.to_dict())
        names = [
            key
            for key in mine
            if not key.startswith(("limits.", "name", "obstacles.", "body."))
            and not key.endswith("max_age")
            and ".mount" not in key
        ]
        wrong = [
            f"{key} is {theirs.get(key, 'missing')} there, {mine.get(key, 'missing')} here"
            for key in names
            if mine.get(key) != theirs.get(key)
        ]
        if wrong:
            raise RigError(
                f"rig '{other.name}'{where and f' of {where}'} does not fit rig '{self.name}': "
                f"{'; '.join(wrong)}"
            )


def gripper_sign(closure: float) -> int:
    """A gripper's closure, 0 open .. 1 closed -> +1 open or -1 closed, as state and action have it."""
    return -1 if closure >= 0.5 else 1


def built_in() -> list[str]:
    """Names of the rigs that come with the package."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.yaml"))


def _require_unit(quaternion: tuple[float, ...], where: str) -> None:
    length = float(np.linalg.norm(quaternion))
    if abs(length - 1) > _UNIT:
        raise RigError(
            f"{where} is {list(quaternion)}, a quaternion (x, y, z, w) of length {length:.4g}: it must be 1"
        )
