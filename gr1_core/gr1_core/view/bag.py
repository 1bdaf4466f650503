"""A bag in the viewer: its messages at their times, its labels, marks and events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gr1_core.data import schemas
from gr1_core.data.bag import Bag
from gr1_core.data.episode_view import episode_view
from gr1_core.rig import ROLES, RigError
from gr1_core.urdf_writer import TOOL
from gr1_core.view.arm_model import ArmModel, built_in_urdf
from gr1_core.view.messages import StackLog, suffix_of
from gr1_core.view.recording import Recording, ViewError

_FAR_M = 0.01
"""m between a measured pose and that of a model with the same joints: above it, it is another arm's."""


def check(bag: Bag) -> None:
    """Raises ViewError for a bag of which nothing is shown."""
    if not _topics(bag):
        raise ViewError(
            f"{bag.folder} holds no message of a topic that is shown: cameras, arm, instruction, diagnostics"
        )


def groups_of(bag: Bag) -> set[str]:
    """The groups that a bag will have, known before its messages are read."""
    names = {suffix_of(topic) for topic in _topics(bag)}
    found = {"lanes", "log", "instruction"}
    found |= {f"cameras/{role}" for role in ROLES if any(f"/{role}/image_raw" in str(name) for name in names)}
    found |= {f"predicted/{role}" for role in ROLES if f"policy/predicted/{role}" in names}
    for name, groups in (
        ("arm/pose", {"world", "position", "speed"}),
        ("joint_states", {"world"}),
        ("arm/commanded_twist", {"speed"}),
        ("arm/gripper", {"gripper"}),
    ):
        if name in names:
            found |= groups
    return found


def show(
    bag: Bag, to: Recording, rate: float, urdf: Path | None, on_progress: Callable[[float], None]
) -> dict[str, str]:
    """Writes a bag to a recording; returns the topics that could not be shown, and why.

    rate: images and states a second of each topic. urdf: the arm's, where the bag has none and its rig is
    not a Kinova's. Raises BagError, ViewError or UrdfError.
    """
    topics, view = _topics(bag), episode_view(bag)
    to.at(0.0)
    _labels(view, to)
    rig = _rig(bag, to)
    if rig is not None:
        to.workspace(rig.limits.workspace_min, rig.limits.workspace_max)
    described = any(suffix_of(name) == "robot_description" for name in topics)
    model = None if described and urdf is None else _model(bag, urdf, rig.name if rig else "")
    if model is not None:
        to.add_arm(model)
    elif not described:
        to.text("no arm model: the bag holds no robot_description and its rig is not a Kinova's; --urdf FILE")
    if urdf is not None:
        topics = [name for name in topics if suffix_of(name) != "robot_description"]
    _events(view, to)
    chosen = [name for name in topics if not _is_double(name, topics)]
    log = StackLog(to, rate)
    for message in bag.messages(chosen):
        seconds = 1e-9 * (message.log_time - bag.start_ns)
        log.on_message(message.topic, message.type, message.data, seconds)
        on_progress(seconds / max(bag.duration_s, 1e-9))
    to.at(bag.duration_s)
    for topic, why in log.refused.items():
        to.text(f"{topic} is not shown: {why}", "ERROR")
    return log.refused


def _topics(bag: Bag) -> list[str]:
    return [name for name in bag.topics if suffix_of(name) and bag.counts.get(name)]


def _is_double(topic: str, topics: list[str]) -> bool:
    """Whether the same images are there as JPEG, too."""
    return topic.endswith("/image_raw") and f"{topic}/compressed" in topics


def _rig(bag: Bag, to: Recording):
    try:
        return bag.rig
    except RigError as error:
        to.text(str(error), "WARN")
        return None


def _model(bag: Bag, urdf: Path | None, rig: str) -> ArmModel | None:
    if urdf is not None:
        return load_model(urdf)
    text = built_in_urdf(rig)
    if not text:
        return None
    model = ArmModel(text, rig)
    return model if _agrees(bag, model) else None


def load_model(urdf: Path) -> ArmModel:
    """A URDF file's model. Raises ViewError or UrdfError."""
    try:
        return ArmModel(urdf.read_text(), str(urdf), urdf.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise ViewError(f"--urdf: {urdf} cannot be read: {error}") from error


def _agrees(bag: Bag, model: ArmModel) -> bool:
    """Whether the model's hand is where the bag says, with the bag's last joints; true without both."""
    found = {}
    for name in ("joint_states", "arm/pose"):
        topic = bag.topic(name)
        last = bag.last(topic) if topic else None
        if last is None:
            return True
        found[name] = schemas.deserialize(last.type, last.data)
    joints = dict(zip(found["joint_states"].name, map(float, found["joint_states"].position)))
    place = found["arm/pose"].pose.position
    return bool(np.linalg.norm(model.forward(TOOL, joints)[0] - [place.x, place.y, place.z]) < _FAR_M)


def _labels(view: dict, to: Recording) -> None:
    labels, marks = view["labels"], view["marks"]
    more = [f"**{labels['outcome']}**", f"{view['seconds']:.1f} s", f"driver {labels['operator']}"]
    more += [labels["note"]] if labels["note"] else []
    more += [f"excluded: {marks['excluded']}"] if marks["excluded"] else []
    to.instruction(labels["instruction"], ", ".join(more) + f"\n\n{view['name']}")


def _events(view: dict, to: Recording) -> None:
    """The marks as a lane, and each event as a line and a span."""
    marks, end = view["marks"], view["seconds"]
    kept_end = end if marks["trim_end_s"] is None else marks["trim_end_s"]
    spans = [(0.0, "trimmed"), (marks["trim_start_s"], "used"), (kept_end, "trimmed"), (end, None)]
    if marks["excluded"]:
        spans = [(0.0, "excluded"), (end, None)]
    for number, (start, state) in enumerate(spans):
        if number + 1 == len(spans) or start < spans[number + 1][0]:
            to.at(start)
            to.lane("marks", state)
    steps = view["steps"]
    to.at(0.0)
    if "problem" in steps:
        to.text(f"conversion leaves this bag out: {steps['problem']}", "WARN")
    for event in view["events"]:
        to.at(event["start_s"])
        to.text(event["text"], "WARN" if event["kind"] in ("gap", "stop") else "INFO")
    for start, state in _spans(view["events"]):
        to.at(start)
        to.lane("events", state)
    to.at(end)
    to.lane("outcome", view["labels"]["outcome"])


def _spans(events: list[dict]) -> list[tuple[float, str | None]]:
    """(s, kind of the event that begins or goes on there, or None), in the order of time; of two at once the
    later one.
    """
    times = sorted({event[key] for event in events for key in ("start_s", "end_s")})
    found = []
    for time in times:
        running = [event for event in events if event["start_s"] <= time < event["end_s"]]
        found.append((time, running[-1]["kind"] if running else None))
    return found
