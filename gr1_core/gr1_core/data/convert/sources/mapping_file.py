"""Reads a mapping: a YAML file that says which features of another dataset are a rig's cameras, state and
action.

    cameras:
      static: observation.images.front
      wrist: {feature: observation.images.hand, crop: [80, 0, 480, 480], resize: true}
    state:
      position: {feature: observation.state, take: [x, y, z]}                          # metres after `scale`
      rotation: {feature: observation.state, take: [3, 4, 5, 6], as: quaternion_xyzw}  # radians after `scale`
      gripper: {feature: observation.state, take: [7], open_above: 0.04}
    action:
      kind: target
      position: {feature: action, take: [0, 1, 2]}
      ...

`take` lists components by name or by index from 0; a string in place of {...} takes a whole feature. A
dataset
of videos has neither state nor action. docs/how-to/convert_datasets.md describes all fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dictionary
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gr1_core import strict_yaml
from gr1_core.data.convert.sources.mapping import ACTION_KINDS, FRAMES, CameraMapping, Components, Mapping
from gr1_core.data.convert.sources.rotations import FORMS, MOTION_FORMS
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.dataset_writer import ACTION_NAMES, STATE_NAMES
from gr1_core.rig import ROLES
from gr1_core.suggestions import did_you_mean
from gr1_core.urdf import UrdfChain, UrdfError, load_chain

POSE, JOINTS = ("position", "rotation", "gripper"), ("joints", "gripper")
_OPTIONS = {
    "position": ("offset", "scale"),
    "rotation": ("offset", "scale", "as"),
    "joints": ("offset", "scale"),
    "gripper": ("open_above", "open_below"),
}
_UNITS = {"offset", "scale"}
_NUMBERS = ("float", "int", "uint", "bool")
_JOINT_NAME = re.compile(
    r"joint|motor|servo|shoulder|elbow|forearm|waist|wrist|\bpan\b|_pan|_lift|_flex|_roll\b|(\b|_)j_?\d", re.I
)
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_IMAGES, _VECTORS = "image or video", "numbers"
_check_keys = partial(strict_yaml.check_keys, error=SourceError)


def load_mapping(
    path: Path,
    features: Dictionary[str, Dictionary],
    sizes: Dictionary[str, tuple[int, int]] | None = None,
    optional: tuple[str, ...] = (),
) -> Mapping:
    """Reads a mapping file. features: as in meta/info.json. sizes: role -> (height, width) of the rig's
    cameras,
    for `resize: true`. optional: further top-level fields that the caller reads itself.

    Raises SourceError for what is unknown, missing or does not fit; the message lists what there is.
    """
    where = f"mapping {path}"
    try:
        raw = strict_yaml.read(path, SourceError)
    except SourceError as error:
        raise SourceError(
            f"mapping {error}: give a YAML file (docs/how-to/convert_datasets.md has an example)"
        ) from error
    top = _check_keys(raw, ("cameras",), ("state", "action", "robot", *optional), where)
    raw_cameras = _check_keys(top["cameras"], ("static",), ("wrist",), where, prefix="cameras.")
    cameras = {
        role: _camera(raw_cameras[role], f"{where}: cameras.{role}", features, (sizes or {}).get(role))
        for role in ROLES
        if role in raw_cameras
    }
    if ("state" in top) != ("action" in top):
        raise SourceError(
            f"{where}: state and action come together, or both are left out for a dataset of videos"
        )
    if "state" not in top:
        return Mapping(cameras)
    chain = _chain(top["robot"], path) if "robot" in top else None
    parse = partial(_parts, where=where, features=features, chain=chain)
    raw_state = top["state"]
    state = parse(raw_state, _names(raw_state), prefix="state.", forms=FORMS)
    raw_action = _check_keys(top["action"], ("kind",), (*POSE, "joints", "frame"), where, prefix="action.")
    kind, frame = raw_action.pop("kind"), raw_action.pop("frame", "base")
    if not isinstance(kind, str) or kind not in ACTION_KINDS:
        kinds = ", ".join(f"{name} ({text})" for name, text in ACTION_KINDS.items())
        raise SourceError(f"{where}: action.kind is {kind!r}, expected {kinds}")
    if frame not in FRAMES or (frame == "hand" and (kind != "delta" or "joints" in raw_action)):
        raise SourceError(
            f"{where}: action.frame is {frame!r}, expected {' or '.join(FRAMES)}; hand only for kind "
            "delta of a "
            "pose"
        )
    names = () if kind == "next_state" else _names(raw_action)
    action = parse(raw_action, names, prefix="action.", forms=MOTION_FORMS if kind == "delta" else FORMS)
    if kind == "delta" and "joints" in action and "joints" not in state:
        raise SourceError(f"{where}: action.joints of kind delta needs state.joints, which they are added to")
    if frame == "hand" and action["rotation"].form == "euler_difference":
        raise SourceError(
            f"{where}: action.rotation.as euler_difference has no frame: leave action.frame out"
        )
    return Mapping(cameras, state, action, kind, frame, chain)


def identity_mapping(features: Dictionary[str, Dictionary]) -> Mapping:
    """The mapping of a dataset whose features and components have this package's names."""
    cameras = {
        role: CameraMapping(f"observation.images.{role}")
        for role in ROLES
        if f"observation.images.{role}" in features
    }
    ours = {"observation.state": STATE_NAMES, "action": ACTION_NAMES}
    vectors = [
        name
        for name, names in ours.items()
        if name in features and component_names(features[name]) == list(names)
    ]
    if cameras.keys() == {"static"} and not ours.keys() & features.keys():
        return Mapping(cameras)
    if not any(map(_is_camera, features.values())):
        raise SourceError(
            "it has no camera (a feature of dtype image or video), so nothing in it can train a policy that "
            f"sees. {_listing(features)}"
        )
    if "static" not in cameras or len(vectors) < 2:
        raise SourceError(
            "its features do not have the names and shapes that a rig needs (observation.images.static and "
            ".wrist, "
            f"observation.state of {' '.join(STATE_NAMES)}, action of {' '.join(ACTION_NAMES)}): map them "
            "with "
            f"--mapping FILE (see docs/how-to/convert_datasets.md). {_listing(features)}"
        )
    state, action = ({"all": Components((name,), tuple(range(7)))} for name in vectors)
    return Mapping(cameras, state, action, "model_units")


def component_names(feature: Dictionary) -> list[str]:
    """The names of a feature's components or axes, however they are nested; empty if it has none."""
    names = feature.get("names")
    while isinstance(names, dict):
        inner = next((value for value in names.values() if isinstance(value, (list, dict))), None)
        names = list(names) if inner is None else inner
    return _flat(names) if isinstance(names, (list, tuple)) else []


def _flat(names: Sequence) -> list[str]:
    return [
        text for name in names for text in (_flat(name) if isinstance(name, (list, tuple)) else [str(name)])
    ]


def height_width(feature: Dictionary) -> tuple[int, int]:
    """(height, width) of a camera feature, whose channels may come first."""
    shape, names = list(feature["shape"]), [name.lower() for name in component_names(feature)]
    if len(shape) != 3:
        raise SourceError(f"a camera feature has shape {shape}, expected [height, width, channels]")
    first = (
        names[0].startswith("channel") or names[0] == "c" if len(names) == 3 else shape[2] not in (1, 3, 4)
    )
    if names[-1:] == ["channels"] and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        first = True
    return tuple(shape[1:]) if first else tuple(shape[:2])


def _camera(raw: Any, where: str, features: Dictionary[str, Dictionary], size) -> CameraMapping:
    raw = {"feature": raw} if isinstance(raw, str) else raw
    fields = _check_keys(raw, ("feature",), ("crop", "resize"), where)
    feature = _require_feature(fields["feature"], where, features, _is_camera, _IMAGES)
    crop = fields.get("crop")
    if crop is not None:
        if not (
            isinstance(crop, list) and len(crop) == 4 and all(map(_is_count, crop)) and crop[2] and crop[3]
        ):
            raise SourceError(f"{where}.crop is {crop!r}, expected [left, top, width, height] in pixels")
        height, width = height_width(feature)
        if crop[0] + crop[2] > width or crop[1] + crop[3] > height:
            raise SourceError(f"{where}.crop {crop} is not inside its images of {width}x{height}")
        crop = tuple(crop)
    resize = fields.get("resize", False)
    if resize is True:
        if size is None:
            raise SourceError(f"{where}.resize: without a rig give [width, height]")
    elif resize is False:
        size = None
    elif isinstance(resize, list) and len(resize) == 2 and all(_is_count(n) and n for n in resize):
        size = (resize[1], resize[0])
    else:
        raise SourceError(f"{where}.resize is {resize!r}, expected true (the rig's size) or [width, height]")
    camera = CameraMapping(fields["feature"], crop, size)
    if size is not None:
        height, width = height_width(feature) if crop is None else (crop[3], crop[2])
        if abs(width * size[0] / (height * size[1]) - 1) > 0.05:
            scale = min(width / size[1], height / size[0])
            box = [int(size[1] * scale), int(size[0] * scale)]
            left, top = (width - box[0]) // 2, (height - box[1]) // 2
            if crop is not None:
                left, top = left + crop[0], top + crop[1]
            raise SourceError(
                f"{where}: resizing {width}x{height} to {size[1]}x{size[0]} would distort it: cut it "
                "first, e.g. "
                f"crop: {[left, top, *box]}"
            )
    return camera


def _chain(raw: Any, mapping: Path) -> UrdfChain:
    where = f"mapping {mapping}"
    fields = _check_keys(raw, ("urdf", "tip"), ("base",), where, prefix="robot.")
    try:
        base = str(fields["base"]) if "base" in fields else None
        return load_chain(mapping.parent / str(fields["urdf"]), str(fields["tip"]), base)
    except UrdfError as error:
        raise SourceError(f"{where}: robot: {error}") from error


def _names(raw: Any) -> tuple[str, ...]:
    return JOINTS if isinstance(raw, Dictionary) and "joints" in raw else POSE


def _parts(
    raw: Any,
    names: tuple[str, ...],
    where: str,
    prefix: str,
    features: Dictionary[str, Dictionary],
    forms: Dictionary[str, tuple[int, ...]],
    chain: UrdfChain | None,
) -> dict[str, Components]:
    raw = _check_keys(raw, names, (), where, prefix=prefix)
    if "joints" in names and chain is None:
        raise SourceError(
            f"{where}: {prefix}joints needs `robot: {{urdf: FILE, tip: LINK}}`, which turns joint "
            "positions into "
            "poses"
        )
    return {part: _components(part, raw[part], where, prefix, features, forms, chain) for part in names}


def _components(
    part: str,
    raw: Any,
    where: str,
    prefix: str,
    features: Dictionary[str, Dictionary],
    forms: Dictionary[str, tuple[int, ...]],
    chain: UrdfChain | None,
) -> Components:
    name = f"{prefix}{part}"
    raw = {"feature": raw} if isinstance(raw, str | list) else raw
    fields = _check_keys(raw, ("feature",), ("take", *_OPTIONS[part]), where, prefix=f"{name}.")
    where = f"{where}: {name}"
    chosen = fields["feature"] if isinstance(fields["feature"], list) else [fields["feature"]]
    of_parts = [_require_feature(one, f"{where}.feature", features, _is_vector, _VECTORS) for one in chosen]
    names, length = _joined_names(chosen, of_parts)
    label = " + ".join(chosen)
    take = _take(fields, label, names, length, where, chain if part == "joints" else None)
    form = fields.get("as", "")
    if part == "rotation" and (not isinstance(form, str) or form not in forms):
        raise SourceError(f"{where}.as is {form!r}, expected one of {', '.join(forms)}")
    expected = {
        "position": (3,),
        "rotation": forms.get(form),
        "gripper": (1,),
        "joints": (len(chain.moving),) if chain else (),
    }[part]
    if len(take) not in expected:
        counts = " or ".join(map(str, expected))
        of = f" ({', '.join(chain.moving)})" if part == "joints" else ""
        raise SourceError(f"{where}: {len(take)} numbers, expected {counts}{of}: choose them with `take`")
    if part in ("position", "rotation"):
        _refuse_joints(take, names, where)
    if part == "gripper" and ("open_above" in fields) == ("open_below" in fields):
        raise SourceError(f"{where}: say when the gripper is open, with one of open_above and open_below")
    for key in ("open_above", "open_below"):
        if key in fields and not strict_yaml.is_number(fields[key]):
            raise SourceError(f"{where}.{key} is {fields[key]!r}, expected a finite number")
    numbers = {key: float(fields[key]) for key in ("open_above", "open_below") if key in fields}
    numbers |= {key: _per_component(fields[key], len(take), f"{where}.{key}") for key in _UNITS & set(fields)}
    return Components(tuple(chosen), take, form=form, **numbers)


def _per_component(value: Any, count: int, where: str) -> float | tuple[float, ...]:
    """A number for all components, or a list of one each."""
    if strict_yaml.is_number(value):
        return float(value)
    if not (isinstance(value, list) and len(value) == count and all(map(strict_yaml.is_number, value))):
        raise SourceError(f"{where} is {value!r}, expected a finite number, or a list of {count}")
    return tuple(map(float, value))


def _joined_names(chosen: list[str], features: list[Dictionary]) -> tuple[list[str], int]:
    """The names of the components of features that follow one another, and their number. A feature of one
    number is named as it is. Empty where they are not one name each.
    """
    lengths = [int(np.prod(feature["shape"])) for feature in features]
    names = []
    for one, feature, length in zip(chosen, features, lengths):
        names += [one] if length == 1 and len(features) > 1 else component_names(feature)
    return (names if len(names) == sum(lengths) else []), sum(lengths)


def _refuse_joints(take: tuple[int, ...], names: list[str], where: str) -> None:
    joints = [names[index] for index in take if index < len(names) and _JOINT_NAME.search(names[index])]
    if len(joints) > len(take) / 2:
        raise SourceError(
            f"{where}: {', '.join(joints)} are joint positions, not a pose: map them as `joints`, with "
            "`robot: {urdf: FILE, tip: LINK}` for the forward kinematics"
        )


def _take(
    fields: dict, label: str, names: list[str], length: int, where: str, chain: UrdfChain | None
) -> tuple[int, ...]:
    """The indices of the components that are taken: of joints by default those with the chain's names, which
    LeRobot's recorder ends with `.pos`.
    """
    usual = list(range(length))
    if chain is not None and len(names) == length:
        joints = [name.removesuffix(".pos").split(".")[-1] for name in names]
        for candidates in (names, joints):
            if all(candidates.count(joint) == 1 for joint in chain.moving):
                usual = [candidates.index(joint) for joint in chain.moving]
                break
    take = fields.get("take", usual)
    take = [take] if isinstance(take, (int, str)) else take
    if not isinstance(take, list):
        raise SourceError(f"{where}.take is {take!r}, expected a list of components")
    for item in take:
        if isinstance(item, (list, dict, bool, float)) or (
            item not in names and not (isinstance(item, int) and 0 <= item < length)
        ):
            described = ", ".join(names) or f"0 to {length - 1}"
            raise SourceError(f"{where}.take: {label} has no component {item!r}; it has {described}")
    return tuple(names.index(item) if item in names else item for item in take)


def _require_feature(
    name: Any,
    where: str,
    features: Dictionary[str, Dictionary],
    fits: Callable[[Dictionary], bool],
    kind: str,
) -> Dictionary:
    """The feature of that name. fits: whether it is of the kind that is wanted; kind: its description."""
    if isinstance(name, str) and name in features and fits(features[name]):
        return features[name]
    right = {key: one for key, one in features.items() if fits(one)}
    near = did_you_mean(str(name), right)
    defect = f"the dataset has no such feature {name!r}{near or '.'}"
    if isinstance(name, str) and name in features:
        defect = f"{name} is {features[name]['dtype']}, expected {kind}."
    raise SourceError(f"{where}: {defect} {_listing(right) if right else f'It has none that is {kind}'}")


def _listing(features: Dictionary[str, Dictionary]) -> str:
    """The features that a mapping may name: without LeRobot's counters."""
    shown = {name: one for name, one in features.items() if name not in _COUNTERS}
    described = [f"{name} ({one['dtype']} {list(one['shape'])})" for name, one in shown.items()]
    return f"There are: {', '.join(described) or 'none'}"


def _is_camera(feature: Dictionary) -> bool:
    return feature["dtype"] in ("image", "video")


def _is_vector(feature: Dictionary) -> bool:
    return feature["dtype"].startswith(_NUMBERS)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
