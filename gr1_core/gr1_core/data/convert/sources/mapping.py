"""A mapping file says which features of another LeRobotDataset are a rig's cameras, state and action.

One YAML file (docs/how-to/convert_datasets.md has an example):

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

`take` lists components by name or by index from 0; a string in place of {...} takes a whole feature. A pose
is the end effector's, in the arm's base frame. A dataset of videos has neither state nor action.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from functools import partial, reduce
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core import strict_yaml
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.dataset_writer import ACTION_NAMES, STATE_NAMES
from gr1_core.rig import ROLES, Rig

ACTION_KINDS = {
    "delta": "the motion of one frame",
    "target": "the pose to be reached by the next frame",
    "next_state": "there are no actions: the state of the next frame is the target",
}
ORIENTATION_FORMS = {"euler_xyz": 3, "quaternion_xyzw": 4, "rotation_vector": 3}
"""How an orientation may be given -> number of components."""
ROTATION_FORMS = {"rotation_vector": 3, "euler_difference": 3}
"""How the rotation of a motion may be given -> number of components."""
PARTS = ("position", "rotation", "gripper")
_OPTIONS = {"position": ("scale",), "rotation": ("scale", "as"), "gripper": ("open_above", "open_below")}
_check_keys = partial(strict_yaml.check_keys, error=SourceError)


@dataclass(frozen=True)
class Components:
    """Components of a vector feature.

    scale: metres or radians per unit. form: parametrisation of a rotation. A gripper is open where its
    component is above `open_above` or below `open_below`.
    """

    feature: str
    take: tuple[int, ...]
    scale: float = 1.0
    form: str = ""
    open_above: float | None = None
    open_below: float | None = None

    def values(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """columns: feature -> [T, n] -> f64[T, len(take)], scaled.

        Raises SourceError for values that are not finite.
        """
        values = np.asarray(columns[self.feature], np.float64)[:, self.take]
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            frame, component = wrong[0]
            raise SourceError(
                f"{self.feature}[{self.take[component]}] is {values[frame, component]} at frame {frame}"
            )
        return values * self.scale

    def closure(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """A gripper's component -> f64[T], 0 open, 1 closed."""
        values = self.values(columns)[:, 0]
        opened = values > self.open_above if self.open_above is not None else values < self.open_below
        return 1.0 - opened

    def rotations(self, columns: Dictionary[str, np.ndarray]) -> Rotation:
        """T rotations. Raises SourceError for a quaternion that is far from length 1."""
        values = self.values(columns)
        if self.form == "rotation_vector":
            return Rotation.from_rotvec(values)
        if self.form != "quaternion_xyzw":
            return Rotation.from_euler("xyz", values)
        norms = np.linalg.norm(values, axis=1)
        if norms.min() < 0.5:
            frame = norms.argmin()
            raise SourceError(
                f"{self.feature}: the quaternion at frame {frame} is {values[frame]}, expected length 1"
            )
        return Rotation.from_quat(values)


@dataclass(frozen=True)
class Mapping:
    """cameras: role -> feature. state, action: part -> Components; both None for videos.

    kind: one of ACTION_KINDS, or "model_units": state and action are stored as this package writes them and
    stay unchanged.
    """

    cameras: Dictionary[str, str]
    state: Dictionary[str, Components] | None = None
    action: Dictionary[str, Components] | None = None
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
        """Maps one episode: columns, feature -> [T, n] -> state f32[S, 7] and action f32[S, 7] of every
        `stride`-th frame.

        The motions of the frames in between are summed, so that one action is one control period of the rig.
        """
        if self.kind == "model_units":
            return tuple(
                parts["all"].values(columns)[::stride].astype(np.float32)
                for parts in (self.state, self.action)
            )
        position = self.state["position"].values(columns)
        orientation = self.state["rotation"].rotations(columns)
        closure = self.state["gripper"].closure(columns)
        if self.kind == "next_state":
            after = np.minimum(np.arange(1, len(position) + 1), len(position) - 1)
            goals, goal_rotations, command = position[after], orientation[after], closure[after]
        else:
            goals, command = self.action["position"].values(columns), self.action["gripper"].closure(columns)
            goal_rotations = self._action_rotations(columns, orientation)
        states, actions = [], []
        for first in range(0, len(position), stride):
            last = min(first + stride, len(position)) - 1
            if self.kind == "delta":
                translation = goals[first : last + 1].sum(axis=0)
                rotation = reduce(mul, (goal_rotations[i] for i in range(last, first - 1, -1)))
            else:
                translation = goals[last] - position[first]
                rotation = goal_rotations[last] * orientation[first].inv()
            pose = position[first], orientation[first].as_quat()
            states.append(rig.state_vector(*pose, closure[first]))
            linear, angular = translation / rig.period, rotation.as_rotvec() / rig.period
            delta = rig.delta(linear, angular, rig.arm_state(*pose))
            actions.append(np.append(delta, 1 - 2 * command[last]))
        return np.array(states, np.float32), np.array(actions, np.float32)

    def _action_rotations(self, columns, orientation: Rotation) -> Rotation:
        """One per frame: rotations in the base frame (kind delta) or orientations (kind target)."""
        components = self.action["rotation"]
        if components.form != "euler_difference":
            return components.rotations(columns)
        goal = Rotation.from_euler("xyz", orientation.as_euler("xyz") + components.values(columns))
        return goal * orientation.inv()


def load_mapping(path: Path, features: Dictionary[str, Dictionary]) -> Mapping:
    """Reads a mapping file. features: as in meta/info.json.

    Raises SourceError for what is unknown, missing or does not fit; the message lists what there is.
    """
    where = f"mapping {path}"
    try:
        raw = strict_yaml.read(path, SourceError)
    except SourceError as error:
        raise SourceError(
            f"mapping {error}: give a YAML file (docs/how-to/convert_datasets.md has an example)"
        ) from error
    top = _check_keys(raw, ("cameras",), ("state", "action"), where)
    cameras = _check_keys(top["cameras"], ("static",), ("wrist",), where, prefix="cameras.")
    image_features = {name: one for name, one in features.items() if one["dtype"] in ("image", "video")}
    for role, name in cameras.items():
        _require_feature(name, f"{where}: cameras.{role}", image_features)
    if ("state" in top) != ("action" in top):
        raise SourceError(
            f"{where}: state and action come together, or both are left out for a dataset of videos"
        )
    if "state" not in top:
        return Mapping(cameras)
    if set(cameras) != set(ROLES):
        raise SourceError(
            f"{where}: cameras.wrist is missing: with state and action, both cameras are needed"
        )
    raw_state = _check_keys(top["state"], PARTS, (), where, prefix="state.")
    raw_action = _check_keys(top["action"], ("kind",), PARTS, where, prefix="action.")
    kind = raw_action.pop("kind")
    if kind not in ACTION_KINDS:
        kinds = ", ".join(f"{name} ({text})" for name, text in ACTION_KINDS.items())
        raise SourceError(f"{where}: action.kind is {kind!r}, expected {kinds}")
    raw_action = _check_keys(raw_action, () if kind == "next_state" else PARTS, (), where, prefix="action.")
    action_forms = ROTATION_FORMS if kind == "delta" else ORIENTATION_FORMS
    parse_state = partial(
        _components, where=where, prefix="state.", features=features, forms=ORIENTATION_FORMS
    )
    parse_action = partial(_components, where=where, prefix="action.", features=features, forms=action_forms)
    state = {part: parse_state(part, raw) for part, raw in raw_state.items()}
    action = {part: parse_action(part, raw) for part, raw in raw_action.items()}
    return Mapping(cameras, state, action, kind)


def identity_mapping(features: Dictionary[str, Dictionary]) -> Mapping:
    """The mapping of a dataset whose features and components have this package's names."""
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
            "its features do not have the names and shapes that a rig needs (observation.images.static and "
            ".wrist, "
            f"observation.state of {' '.join(STATE_NAMES)}, action of {' '.join(ACTION_NAMES)}): map them "
            "with "
            "--mapping FILE (see docs/how-to/convert_datasets.md). There are: "
            f"{', '.join(_describe(features))}"
        )
    state, action = ({"all": Components(name, tuple(range(7)))} for name in vectors)
    return Mapping(cameras, state, action, "model_units")


def component_names(feature: Dictionary) -> list[str]:
    """A feature's names: a list, or a list inside a dictionary such as {"motors": [...]}; may be empty."""
    names = feature.get("names") or []
    if isinstance(names, Dictionary):
        names = next((value for value in names.values() if isinstance(value, list)), list(names))
    return [str(name) for name in names]


def _components(
    part: str,
    raw: Any,
    where: str,
    prefix: str,
    features: Dictionary[str, Dictionary],
    forms: Dictionary[str, int],
) -> Components:
    name = f"{prefix}{part}"
    raw = {"feature": raw} if isinstance(raw, str) else raw
    fields = _check_keys(raw, ("feature",), ("take", *_OPTIONS[part]), where, prefix=f"{name}.")
    where = f"{where}: {name}"
    vectors = {
        key: feature for key, feature in features.items() if feature["dtype"].startswith(("float", "int"))
    }
    take = _take(fields, _require_feature(fields["feature"], f"{where}.feature", vectors), where)
    form = fields.get("as", "")
    if part == "rotation" and form not in forms:
        raise SourceError(f"{where}.as is {form!r}, expected one of {', '.join(forms)}")
    expected = {"position": 3, "rotation": forms.get(form), "gripper": 1}[part]
    if len(take) != expected:
        raise SourceError(f"{where}: {len(take)} numbers, expected {expected}: choose them with `take`")
    if part == "gripper" and ("open_above" in fields) == ("open_below" in fields):
        raise SourceError(f"{where}: say when the gripper is open, with one of open_above and open_below")
    numbers = {key: fields[key] for key in ("scale", "open_above", "open_below") if key in fields}
    for key, value in numbers.items():
        if not strict_yaml.is_number(value):
            raise SourceError(f"{where}.{key} is {value!r}, expected a finite number")
    return Components(fields["feature"], take, form=form, **{key: float(x) for key, x in numbers.items()})


def _take(fields: dict, feature: Dictionary, where: str) -> tuple[int, ...]:
    """The indices of the components that are taken."""
    length, names = int(np.prod(feature["shape"])), component_names(feature)
    take = fields.get("take", list(range(length)))
    take = [take] if isinstance(take, (int, str)) else take
    for item in take:
        if item not in names and not (isinstance(item, int) and 0 <= item < length):
            described = ", ".join(names) or f"0 to {length - 1}"
            raise SourceError(
                f"{where}.take: {fields['feature']} has no component {item!r}; it has {described}"
            )
    return tuple(names.index(item) if item in names else item for item in take)


def _require_feature(name: Any, where: str, features: Dictionary[str, Dictionary]) -> Dictionary:
    if name not in features:
        described = ", ".join(_describe(features)) or "none"
        raise SourceError(f"{where}: the dataset has no such feature '{name}'. There are: {described}")
    return features[name]


def _describe(features: Dictionary[str, Dictionary]) -> list[str]:
    return [f"{name} ({feature['dtype']} {list(feature['shape'])})" for name, feature in features.items()]
