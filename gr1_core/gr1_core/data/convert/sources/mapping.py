"""Which features of another LeRobotDataset are a rig's cameras, state and action: one YAML (docs/how-to/convert_datasets.md has an example).

    cameras:
      static: observation.images.front
      wrist: observation.images.hand
    state:
      position: {feature: observation.state, take: [x, y, z]}                          # metres after `scale`
      rotation: {feature: observation.state, take: [3, 4, 5, 6], as: quaternion_xyzw}  # radians after `scale`
      gripper: {feature: observation.state, take: [7], open_above: 0.04}
    action:
      kind: target
      position: {feature: action, take: [0, 1, 2]}
      ...

`take` names components or counts them from 0; a string in place of {...} takes a whole feature. A pose is the end effector's in the
arm's base frame. Without state and action the data set is one of videos.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from functools import reduce
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.dataset_writer import ACTION_NAMES, STATE_NAMES
from gr1_core.rig import ROLES, Rig

KINDS = {
    "delta": "the motion of one frame",
    "target": "the pose to be reached by the next frame",
    "next_state": "there are no actions: the state of the next frame is the target",
}
POSES = {"euler_xyz": 3, "quaternion_xyzw": 4, "rotation_vector": 3}
TURNS = {"rotation_vector": 3, "euler_difference": 3}


@dataclass(frozen=True)
class Numbers:
    """Components of a vector feature. scale: metres or radians a unit. form: a rotation's parametrisation. A gripper is open where
    its number is above `open_above` or below `open_below`."""

    feature: str
    take: tuple[int, ...]
    scale: float = 1.0
    form: str = ""
    open_above: float | None = None
    open_below: float | None = None

    def of(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """columns: feature -> [T, n] -> f64[T, len(take)], scaled."""
        values = np.asarray(columns[self.feature], np.float64)[:, self.take]
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise SourceError(
                f"{self.feature}[{self.take[wrong[0][1]]}] is {values[tuple(wrong[0])]} at frame {wrong[0][0]}"
            )
        return values * self.scale

    def closure(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """A gripper's number -> 0 open, 1 closed."""
        values = self.of(columns)[:, 0]
        opened = values > self.open_above if self.open_above is not None else values < self.open_below
        return 1.0 - opened

    def rotations(self, columns: Dictionary[str, np.ndarray]) -> Rotation:
        values = self.of(columns)
        if self.form == "quaternion_xyzw":
            norms = np.linalg.norm(values, axis=1)
            if norms.min() < 0.5:
                raise SourceError(
                    f"{self.feature}: the quaternion at frame {norms.argmin()} is {values[norms.argmin()]}, expected length 1"
                )
            return Rotation.from_quat(values)
        return (
            Rotation.from_rotvec(values)
            if self.form == "rotation_vector"
            else Rotation.from_euler("xyz", values)
        )


@dataclass(frozen=True)
class Mapping:
    """cameras: role -> feature. state, action: part -> Numbers; both None for videos. kind: one of KINDS, or "model_units": state and
    action are stored as this package writes them and are taken over unchanged."""

    cameras: Dictionary[str, str]
    state: Dictionary[str, Numbers] | None = None
    action: Dictionary[str, Numbers] | None = None
    kind: str = ""

    @property
    def vectors(self) -> list[str]:
        """The features that `apply` needs."""
        return sorted(
            {part.feature for parts in (self.state, self.action) for part in (parts or {}).values()}
        )

    def apply(
        self, columns: Dictionary[str, np.ndarray], rig: Rig, stride: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """columns: feature -> [T, n] of one episode -> state f32[S, 7] and action f32[S, 7] of every `stride`-th frame.

        The motion of the frames between is added up, so that one action is one control period of the rig.
        """
        if self.kind == "model_units":
            return tuple(
                parts["all"].of(columns)[::stride].astype(np.float32) for parts in (self.state, self.action)
            )
        position, turned = self.state["position"].of(columns), self.state["rotation"].rotations(columns)
        closure = self.state["gripper"].closure(columns)
        if self.kind == "next_state":
            after = np.minimum(np.arange(1, len(position) + 1), len(position) - 1)
            goals, turned_goals, command = position[after], turned[after], closure[after]
        else:
            goals, command = self.action["position"].of(columns), self.action["gripper"].closure(columns)
            turned_goals = self._turns(columns, turned)
        states, actions = [], []
        for first in range(0, len(position), stride):
            last = min(first + stride, len(position)) - 1
            if self.kind == "delta":
                move = goals[first : last + 1].sum(axis=0)
                turn = reduce(mul, (turned_goals[i] for i in range(last, first - 1, -1)))
            else:
                move, turn = goals[last] - position[first], turned_goals[last] * turned[first].inv()
            states.append(rig.state_vector(position[first], turned[first].as_quat(), closure[first]))
            delta = rig.delta(
                move / rig.period,
                turn.as_rotvec() / rig.period,
                rig.arm_state(position[first], turned[first].as_quat()),
            )
            actions.append(np.append(delta, 1 - 2 * command[last]))
        return np.array(states, np.float32), np.array(actions, np.float32)

    def _turns(self, columns, turned: Rotation) -> Rotation:
        """Rotations of the base frame (kind delta) or orientations (kind target), one a frame."""
        numbers = self.action["rotation"]
        if numbers.form != "euler_difference":
            return numbers.rotations(columns)
        return Rotation.from_euler("xyz", turned.as_euler("xyz") + numbers.of(columns)) * turned.inv()


def load(path: Path, features: Dictionary[str, Dictionary]) -> Mapping:
    """path: the YAML. features: as in meta/info.json. Names what is unknown, missing or does not fit, and what there is."""
    remedy = "give a YAML file (docs/how-to/convert_datasets.md has an example)"
    try:
        raw = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise SourceError(f"mapping {path} cannot be read ({error.strerror}): {remedy}") from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise SourceError(f"mapping {path} is not text: {remedy}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"
        raise SourceError(f"mapping {path} is not YAML at {place}: {error.problem}: {remedy}") from error
    top = _fields(raw, f"mapping {path}", ("cameras",), ("state", "action"))
    cameras = _fields(top["cameras"], f"mapping {path}: cameras", ("static",), ("wrist",))
    for role, name in cameras.items():
        _known(
            name,
            f"mapping {path}: cameras.{role}",
            {n: f for n, f in features.items() if f["dtype"] in ("image", "video")},
        )
    if ("state" in top) != ("action" in top):
        raise SourceError(
            f"mapping {path}: state and action come together, or both are left out for a data set of videos"
        )
    if "state" not in top:
        return Mapping(cameras)
    if set(cameras) != set(ROLES):
        raise SourceError(
            f"mapping {path}: cameras.wrist is missing: with state and action, both cameras are needed"
        )
    where = f"mapping {path}: state"
    state = {
        name: _numbers(name, part, f"{where}.{name}", features, POSES)
        for name, part in _fields(top["state"], where, _PARTS).items()
    }
    where, raw = (
        f"mapping {path}: action",
        dict(top["action"] or {}) if isinstance(top["action"], Dictionary) else top["action"],
    )
    kind = raw.pop("kind", None) if isinstance(raw, dict) else None
    if kind not in KINDS:
        raise SourceError(
            f"{where}.kind is {kind!r}, expected "
            + ", ".join(f"{name} ({text})" for name, text in KINDS.items())
        )
    parts = _fields(raw, where, () if kind == "next_state" else _PARTS)
    forms = TURNS if kind == "delta" else POSES
    return Mapping(
        cameras,
        state,
        {name: _numbers(name, part, f"{where}.{name}", features, forms) for name, part in parts.items()},
        kind,
    )


def identity(features: Dictionary[str, Dictionary]) -> Mapping:
    """For a data set whose features and their components are named as this package does."""
    cameras = {
        role: f"observation.images.{role}" for role in ROLES if f"observation.images.{role}" in features
    }
    ours = {"observation.state": STATE_NAMES, "action": ACTION_NAMES}
    vectors = [
        name
        for name, names in ours.items()
        if name in features and component_names(features[name]) == list(names)
    ]
    if cameras.keys() == {"static"} and not ours.keys() & features.keys():
        return Mapping(cameras)
    if cameras.keys() != set(ROLES) or len(vectors) < 2:
        raise SourceError(
            "its features are not named and shaped as a rig needs (observation.images.static and .wrist, observation.state of "
            f"{' '.join(STATE_NAMES)}, action of {' '.join(ACTION_NAMES)}): say what is what with "
            f"--mapping FILE (see docs/how-to/convert_datasets.md). There are: {', '.join(_described(features))}"
        )
    state, action = ({"all": Numbers(name, tuple(range(7)))} for name in vectors)
    return Mapping(cameras, state, action, "model_units")


_PARTS = ("position", "rotation", "gripper")


def _numbers(
    part: str, raw: Any, where: str, features: Dictionary[str, Dictionary], forms: Dictionary[str, int]
) -> Numbers:
    extra = {"position": ("scale",), "rotation": ("scale", "as"), "gripper": ("open_above", "open_below")}[
        part
    ]
    fields = _fields({"feature": raw} if isinstance(raw, str) else raw, where, ("feature",), ("take", *extra))
    vectors = {
        name: feature for name, feature in features.items() if feature["dtype"].startswith(("float", "int"))
    }
    feature = _known(fields["feature"], f"{where}.feature", vectors)
    length = int(np.prod(feature["shape"]))
    names = component_names(feature)
    take = fields.get("take", list(range(length)))
    take = [take] if isinstance(take, (int, str)) else take
    for item in take:
        if item not in names and not (isinstance(item, int) and 0 <= item < length):
            described = ", ".join(names) or f"0 to {length - 1}"
            raise SourceError(
                f"{where}.take: {fields['feature']} has no component {item!r}; it has {described}"
            )
    take = tuple(names.index(item) if item in names else item for item in take)
    form = fields.get("as", "")
    if part == "rotation" and form not in forms:
        raise SourceError(f"{where}.as is {form!r}, expected one of {', '.join(forms)}")
    wanted = {"position": 3, "rotation": forms.get(form), "gripper": 1}[part]
    if len(take) != wanted:
        raise SourceError(f"{where}: {len(take)} numbers, expected {wanted}: choose them with `take`")
    if part == "gripper" and ("open_above" in fields) == ("open_below" in fields):
        raise SourceError(f"{where}: say when the gripper is open, with one of open_above and open_below")
    numbers = {
        key: _number(fields[key], f"{where}.{key}")
        for key in ("scale", "open_above", "open_below")
        if key in fields
    }
    return Numbers(fields["feature"], take, form=form, **numbers)


def component_names(feature: Dictionary) -> list[str]:
    """A feature's names: a list, or a list inside a dictionary such as {"motors": [...]}; none is fine."""
    names = feature.get("names") or []
    if isinstance(names, Dictionary):
        names = next((value for value in names.values() if isinstance(value, list)), list(names))
    return [str(name) for name in names]


def _fields(raw: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    if not isinstance(raw, Dictionary):
        raise SourceError(
            f"{where}: expected {', '.join(required + optional) or 'nothing more'}, got {raw!r}"
        )
    for key in raw:
        if key not in required + optional:
            near = difflib.get_close_matches(str(key), required + optional, 1)
            raise SourceError(
                f"{where}: unknown field '{key}'" + (f", did you mean '{near[0]}'?" if near else "")
            )
    missing = [key for key in required if key not in raw]
    if missing:
        raise SourceError(f"{where}: missing {', '.join(missing)}")
    return dict(raw)


def _known(name: Any, where: str, features: Dictionary[str, Dictionary]) -> Dictionary:
    if name not in features:
        raise SourceError(
            f"{where}: the data set has no such feature '{name}'. There are: {', '.join(_described(features)) or 'none'}"
        )
    return features[name]


def _described(features: Dictionary[str, Dictionary]) -> list[str]:
    return [f"{name} ({feature['dtype']} {list(feature['shape'])})" for name, feature in features.items()]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise SourceError(f"{where}: expected a finite number, got {value!r}")
    return float(value)
