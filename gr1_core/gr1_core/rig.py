"""The rig: what the model's numbers mean on one robot.

One YAML says which cameras play which role, how the state vector is made, what one unit of action is in metres and radians, at what
rate the policy runs and how far the arm may go. It is saved in every checkpoint, and the same code turns a live message, a recorded
frame or a data set's row into the model's input.

Units are SI, poses are in the arm's base frame (REP 103), quaternions are (x, y, z, w).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

ROLES = ("static", "wrist")
_BUILT_IN = Path(__file__).parent / "rigs"


class RigError(ValueError):
    """A rig file that cannot be used, or two rigs that do not agree."""


@dataclass(frozen=True)
class Camera:
    """One camera's role. `width`, `height` in pixels; `max_age` in seconds: an older frame stops the arm."""

    width: int
    height: int
    crop: str
    max_age: float

    def view(self, image: np.ndarray) -> np.ndarray:
        """The part of a frame that the model sees: u8[height, width, 3] RGB -> u8[h, w, 3], a view without a copy.

        `crop: square` is the largest centred square; a frame of another size than the rig's is refused.
        """
        if not isinstance(image, np.ndarray):
            raise RigError(
                f"frame is a {type(image).__name__}, expected a numpy array uint8[{self.height}, {self.width}, 3]"
            )
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise RigError(
                f"frame is {image.dtype}{list(image.shape)}, the rig says uint8[{self.height}, {self.width}, 3]: "
                "set the camera to the rig's size, or change the size in the rig's YAML and retrain"
            )
        if self.crop == "none":
            return image
        side = min(self.width, self.height)
        top, left = (self.height - side) // 2, (self.width - side) // 2
        return image[top : top + side, left : left + side]


@dataclass(frozen=True)
class State:
    """How an end-effector pose becomes the six arm numbers of the state vector."""

    rotation: str
    reference: tuple[float, float, float, float]
    max_age: float


@dataclass(frozen=True)
class Action:
    """What one unit of the model's action is: metres, radians, and which parametrisation of rotation."""

    translation_scale: float
    rotation_scale: float
    rotation: str


@dataclass(frozen=True)
class Limits:
    """How far and how fast the arm may go: m, m/s, rad/s, m/s2, rad/s2, s. The gate in front of the motors enforces them.

    leash: m between commanded and measured position, leash_angle: rad between commanded and measured orientation.
    joint_margin: rad that each joint keeps from the end of its range.
    force: N on the hand that stops an arm which reports forces.
    """

    linear_speed: float
    angular_speed: float
    linear_acceleration: float
    angular_acceleration: float
    stop_time: float
    workspace_min: tuple[float, float, float]
    workspace_max: tuple[float, float, float]
    leash: float
    leash_angle: float
    joint_margin: float
    force: float


@dataclass(frozen=True)
class Rig:
    """See the module's text. Load one with `Rig.load("kinova_gen2")` or `Rig.load("path/to/rig.yaml")`."""

    name: str
    control_hz: float
    cameras: Mapping[str, Camera]
    state: State
    action: Action
    limits: Limits

    @property
    def period(self) -> float:
        """The control period in seconds."""
        return 1.0 / self.control_hz

    # Pose -> state, action -> twist

    def arm_state(self, position, quaternion) -> np.ndarray:
        """xyz in metres and quaternion xyzw -> f64[6]: xyz, then Euler angles x, y, z (fixed axes) relative to the reference."""
        turned = Rotation.from_quat(quaternion) * Rotation.from_quat(self.state.reference).inv()
        return np.concatenate([np.asarray(position, np.float64), turned.as_euler("xyz")])

    def state_vector(self, position, quaternion, closure_command: float) -> np.ndarray:
        """What the model is told of the arm, f32[7]: `arm_state`, then the gripper's last command, +1 open or -1 closed.

        closure_command: 0 open .. 1 closed. Live, from a bag and in a data set these are the same seven numbers, bit for bit.
        """
        return np.append(self.arm_state(position, quaternion), gripper_sign(closure_command)).astype(
            np.float32
        )

    def twist(self, delta, arm) -> tuple[np.ndarray, np.ndarray]:
        """One action -> the twist that carries it out in one control period.

        delta f[6] in the model's units, arm f64[6] the state it was computed from -> v f64[3] m/s, w f64[3] rad/s, base frame.
        """
        delta = np.asarray(delta, np.float64)
        linear = delta[:3] * (self.action.translation_scale / self.period)
        turn = delta[3:6] * self.action.rotation_scale
        if self.action.rotation == "euler_difference":
            before = Rotation.from_euler("xyz", arm[3:6])
            turn = (Rotation.from_euler("xyz", arm[3:6] + turn) * before.inv()).as_rotvec()
        return linear, turn / self.period

    def delta(self, linear, angular, arm) -> np.ndarray:
        """The inverse of `twist`: v [3] m/s and w [3] rad/s, held for one period from the state arm [6] -> f64[6] in the model's units."""
        turn = np.asarray(angular, np.float64) * self.period
        if self.action.rotation == "euler_difference":
            before = Rotation.from_euler("xyz", arm[3:6])
            turn = (Rotation.from_rotvec(turn) * before).as_euler("xyz") - arm[3:6]
            turn = (turn + np.pi) % (2 * np.pi) - np.pi
        move = np.asarray(linear, np.float64) * (self.period / self.action.translation_scale)
        return np.concatenate([move, turn / self.action.rotation_scale])

    # Files

    @classmethod
    def load(cls, source: str | Path) -> Rig:
        """A rig from the name of a built-in one or from a YAML file; anything unknown, missing or of the wrong type is named."""
        path = Path(source)
        if not path.suffix:
            path = _BUILT_IN / f"{source}.yaml"
        if not path.is_file():
            known = ", ".join(built_in())
            raise RigError(f"no rig '{source}': built-in rigs are {known}; or give the path of a YAML file")
        try:
            raw = yaml.safe_load(path.read_text())
        except UnicodeDecodeError:
            raise RigError(
                f"{path} is not text: give a YAML file or a built-in rig ({', '.join(built_in())})"
            ) from None
        except yaml.YAMLError as error:
            raise RigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
        return cls.from_dict(raw, str(path))

    @classmethod
    def from_dict(cls, raw: Mapping, where: str = "rig") -> Rig:
        top = _fields(cls, raw, where)
        cameras = top["cameras"]
        if not isinstance(cameras, Mapping) or sorted(cameras) != sorted(ROLES):
            raise RigError(
                f"{where}: cameras must have exactly the roles {', '.join(ROLES)}, got {cameras!r}"
            )
        rig = cls(
            name=str(top["name"]),
            control_hz=_positive(top["control_hz"], f"{where}: control_hz"),
            cameras={role: _read(Camera, cameras[role], f"{where}: cameras.{role}") for role in ROLES},
            state=_read(State, top["state"], f"{where}: state"),
            action=_read(Action, top["action"], f"{where}: action"),
            limits=_read(Limits, top["limits"], f"{where}: limits"),
        )
        for role, camera in rig.cameras.items():
            _one_of(camera.crop, ("square", "none"), f"{where}: cameras.{role}.crop")
        _one_of(rig.state.rotation, ("euler_xyz",), f"{where}: state.rotation")
        _one_of(rig.action.rotation, ("rotation_vector", "euler_difference"), f"{where}: action.rotation")
        if not all(low < high for low, high in zip(rig.limits.workspace_min, rig.limits.workspace_max)):
            raise RigError(f"{where}: limits.workspace_min must be below workspace_max on every axis")
        return rig

    def to_dict(self) -> dict:
        def plain(value):
            if dataclasses.is_dataclass(value):
                return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
            if isinstance(value, Mapping):
                return {key: plain(item) for key, item in value.items()}
            return list(value) if isinstance(value, tuple) else value

        return plain(self)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(yaml.safe_dump(self.to_dict(), sort_keys=False))

    def require_same(self, other: Rig, where: str = "") -> None:
        """Refuses a rig whose state vector, action, cameras or rate differ; limits may differ, since they belong to the place."""
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        names = [
            key for key in mine if not key.startswith(("limits.", "name")) and not key.endswith("max_age")
        ]
        wrong = [
            f"{key} is {theirs[key]} there, {mine[key]} here" for key in names if mine[key] != theirs[key]
        ]
        if wrong:
            raise RigError(
                f"rig '{other.name}'{where and f' of {where}'} does not fit rig '{self.name}': {'; '.join(wrong)}"
            )


def gripper_sign(closure: float) -> int:
    """A gripper's closure, 0 open .. 1 closed -> +1 open or -1 closed, as state and action have it."""
    return -1 if closure >= 0.5 else 1


def built_in() -> list[str]:
    """Names of the rigs that come with the package."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.yaml"))


def _fields(cls, raw, where: str) -> dict:
    names = [field.name for field in dataclasses.fields(cls)]
    if not isinstance(raw, Mapping):
        raise RigError(f"{where}: expected the fields {', '.join(names)}, got {raw!r}")
    for key in raw:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            raise RigError(
                f"{where}: unknown field '{key}'" + (f", did you mean '{near[0]}'?" if near else "")
            )
    missing = [name for name in names if name not in raw]
    if missing:
        raise RigError(f"{where}: missing {', '.join(missing)}")
    return dict(raw)


def _read(cls, raw, where: str):
    values = _fields(cls, raw, where)
    for field in dataclasses.fields(cls):
        value, label = values[field.name], f"{where}.{field.name}"
        if field.type == "float":
            values[field.name] = _positive(value, label)
        elif field.type == "int":
            if not isinstance(value, int) or value <= 0:
                raise RigError(f"{label}: expected a positive whole number, got {value!r}")
        elif field.type.startswith("tuple"):
            count = field.type.count("float")
            if not isinstance(value, (list, tuple)) or len(value) != count:
                raise RigError(f"{label}: expected {count} numbers, got {value!r}")
            values[field.name] = tuple(_number(item, label) for item in value)
    return cls(**values)


def _number(value, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise RigError(f"{label}: expected a finite number, got {value!r}")
    return float(value)


def _positive(value, label: str) -> float:
    if _number(value, label) <= 0:
        raise RigError(f"{label}: expected a number above zero, got {value!r}")
    return float(value)


def _one_of(value: str, known: tuple[str, ...], label: str) -> None:
    if value not in known:
        raise RigError(f"{label}: '{value}' is not one of {', '.join(known)}")


def _flat(tree: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
