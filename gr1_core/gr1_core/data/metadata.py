"""A bag's metadata.yaml: rosbag2's own fields (version 9, Jazzy) and the labels, as its custom_data."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gr1_core import atomic_write
from gr1_core.data import schemas

METADATA_FILE = "metadata.yaml"
FOREIGN = (
    "Bags of other stacks: gr1 convert bags DIR --mapping FILE --rig RIG (docs/how-to/convert_datasets.md)"
)
OUTCOMES = ("success", "failure", "discarded", "unfinished")
LABELS = (
    "episode",
    "instruction",
    "operator",
    "outcome",
    "task",
    "seed",
    "note",
    "started",
    "seconds",
    "topics",
    "gr1_version",
    "versions",
    "trim_start",
    "trim_end",
    "excluded",
    "rig",
)
"""The labels in the order of the file. A recorder may add its own."""
REQUIRED = ("episode", "instruction", "outcome", "rig")
"""Labels without which a bag is not a demonstration."""
CHANGEABLE = ("outcome", "instruction", "operator", "note")
"""Labels that a person may change later; the others are facts of the recording."""
MARKS = ("trim_start", "trim_end", "excluded")
"""Labels that say which part of the recording is used (data/marks.py)."""
_REMEDY = "restore it, or run `gr1 bags recover` on the bag"
_SEVERAL_LINES = ("rig",)
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_ROOT = "rosbag2_bagfile_information"
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
_QOS = {
    "best_effort": ("best_effort", "volatile"),
    "reliable": ("reliable", "volatile"),
    "transient_local": ("reliable", "transient_local"),
}


class BagError(ValueError):
    """A bag cannot be read, written or labelled."""


class _Dumper(yaml.CSafeDumper):
    """Writes texts of several lines as blocks, so that the rig stays readable, and no YAML aliases."""

    def ignore_aliases(self, data) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


@dataclass(frozen=True)
class Metadata:
    """file: name of the .mcap.

    topics: name -> type. counts: name -> messages. Times in ns. labels: custom_data. qos: name -> profile.
    compression_mode: "", or "FILE" or "MESSAGE" where rosbag2 has compressed the file or each message.
    """

    file: str
    topics: Mapping[str, str]
    counts: Mapping[str, int]
    start_ns: int
    duration_ns: int
    labels: Mapping[str, str]
    qos: Mapping[str, str] = field(default_factory=dict)
    compression_mode: str = ""


def shorten(value, most: int = 60) -> str:
    """A value for an error message: line breaks escaped, a long one cut."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} ..."


def check_labels(labels: Mapping[str, str], required=()) -> dict[str, str]:
    """Returns the labels. Raises BagError unless each is text of one line (the rig may have several) and the
    instruction is not empty.
    """
    for name, text in labels.items():
        if not isinstance(text, str):
            raise BagError(f"label '{name}' is {shorten(text)}: labels are text")
        if any(
            unicodedata.category(letter) in _CONTROL
            for letter in (text.replace("\n", "") if name in _SEVERAL_LINES else text)
        ):
            raise BagError(
                f"label '{name}' is {shorten(text)}: control characters and line breaks cannot be kept in a "
                "label"
            )
    if "instruction" in labels and not labels["instruction"].strip():
        raise BagError("label 'instruction' is empty: describe the task, for example \"open the drawer\"")
    if "outcome" in labels and labels["outcome"] not in OUTCOMES:
        raise BagError(f"outcome {shorten(labels['outcome'])} is not one of {', '.join(OUTCOMES)}")
    missing = [name for name in required if not labels.get(name)]
    if missing:
        raise BagError(f"missing label{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    return dict(labels)


def offered_qos(name: str) -> list[dict]:
    """The QoS profile that `ros2 bag play` publishes a topic with: "best_effort", "reliable" or
    "transient_local", depth 1.
    """
    if name not in _QOS:
        raise BagError(f"quality of service '{name}' is not one of {', '.join(_QOS)}")
    reliability, durability = _QOS[name]
    return [
        {
            "history": "keep_last",
            "depth": 1,
            "reliability": reliability,
            "durability": durability,
            "deadline": dict(_FOREVER),
            "lifespan": dict(_FOREVER),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(_FOREVER),
            "avoid_ros_namespace_conventions": False,
        }
    ]


def qos_text(name: str) -> str:
    """`offered_qos` as YAML text, as an MCAP channel carries it."""
    return yaml.safe_dump(offered_qos(name), sort_keys=False)


def qos_name(text: str) -> str:
    """The inverse of `qos_text`; "" for a profile of another program."""
    return next((name for name in _QOS if qos_text(name) == text), "")


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Writes metadata.yaml atomically."""
    start, duration = {"nanoseconds_since_epoch": metadata.start_ns}, {"nanoseconds": metadata.duration_ns}
    count = sum(metadata.counts.values())
    topics = [
        {
            "topic_metadata": {
                "name": name,
                "type": type,
                "serialization_format": "cdr",
                "offered_qos_profiles": offered_qos(metadata.qos[name]) if name in metadata.qos else [],
                "type_description_hash": schemas.type_hash(type) if schemas.is_known(type) else "",
            },
            "message_count": metadata.counts.get(name, 0),
        }
        for name, type in metadata.topics.items()
    ]
    information = {
        "version": 9,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": topics,
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [metadata.file],
        "files": [
            {"path": metadata.file, "starting_time": start, "duration": duration, "message_count": count}
        ],
        "custom_data": _ordered(metadata.labels),
        "ros_distro": schemas.DISTRO,
    }
    _replace(folder / METADATA_FILE, information)


def change_labels(folder: Path, labels: Mapping[str, str | None]) -> None:
    """Replaces some labels; None removes one. Everything else in metadata.yaml stays."""
    information = _load(folder)
    changed = {**(information.get("custom_data") or {}), **labels}
    information["custom_data"] = _ordered(
        check_labels({name: text for name, text in changed.items() if text is not None})
    )
    _replace(folder / METADATA_FILE, information)


def read_metadata(folder: Path) -> Metadata:
    """Reads metadata.yaml of a bag. Raises BagError that names what is missing or wrong in it."""
    raw, path = _load(folder), folder / METADATA_FILE
    try:
        if raw["storage_identifier"] != "mcap":
            raise BagError(
                f"{path}: storage is '{raw['storage_identifier']}', expected mcap: not a bag that gr1 "
                f"recorded. {FOREIGN}"
            )
        if len(raw["relative_file_paths"]) != 1:
            raise BagError(
                f"{path}: {len(raw['relative_file_paths'])} files, a bag of gr1 is one episode in one file. "
                f"{FOREIGN}"
            )
        topics: dict[str, str] = {}
        counts: dict[str, int] = {}
        for entry in raw["topics_with_message_count"]:
            name, kind = entry["topic_metadata"]["name"], entry["topic_metadata"]["type"]
            if not (isinstance(name, str) and name and isinstance(kind, str)):
                raise TypeError(f"topic {shorten(name)} of type {shorten(kind)}")
            topics[name] = kind
            counts[name] = counts.get(name, 0) + int(entry["message_count"])
        return Metadata(
            file=Path(raw["relative_file_paths"][0]).name,
            topics=topics,
            counts=counts,
            start_ns=int(raw["starting_time"]["nanoseconds_since_epoch"]),
            duration_ns=int(raw["duration"]["nanoseconds"]),
            labels={str(key): str(value) for key, value in (raw.get("custom_data") or {}).items()},
            compression_mode=str(raw.get("compression_mode") or "").upper().replace("NONE", ""),
        )
    except BagError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
        text = shorten(str(error), 200)
        raise BagError(
            f"{path}: not a metadata.yaml of rosbag2: {type(error).__name__} {text}: {_REMEDY}"
        ) from error


def _ordered(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        name: labels[name]
        for name in (*LABELS, *(name for name in labels if name not in LABELS))
        if name in labels
    }


def _load(folder: Path) -> dict:
    path = folder / METADATA_FILE
    try:
        information = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)[_ROOT]
        information["topics_with_message_count"]
        _require_finite(information)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError, AttributeError) as error:
        raise BagError(
            f"{path}: not a metadata.yaml of rosbag2 ({type(error).__name__}): {_REMEDY}"
        ) from error
    return information


def _require_finite(value, inside: tuple[int, ...] = ()) -> None:
    """Raises ValueError for a mapping or list that an alias puts into itself."""
    if not isinstance(value, (dict, list)):
        return
    if id(value) in inside:
        raise ValueError("it contains itself")
    for item in value.values() if isinstance(value, dict) else value:
        _require_finite(item, (*inside, id(value)))


def _replace(path: Path, information: dict) -> None:
    text = yaml.dump({_ROOT: information}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)
    atomic_write.write_text(path.resolve(), text)  # a link stays a link


def count_lost(stream: Mapping) -> int:
    """Messages that were sent but are not in the bag: lost on the way or dropped by a slow disk.

    stream: one entry of the label `topics`.
    """
    return int(stream.get("lost", 0)) + int(stream.get("dropped", 0))


def is_slow(stream: Mapping) -> bool:
    """Whether the publisher sent less than 80 % of its nominal rate.

    stream: one entry of the label `topics`.
    """
    return stream["received"] + count_lost(stream) < 0.8 * stream["expected"]
