"""Rewrites a bag of ours as other programs would have written it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from mcap.writer import CompressionType, Writer

from gr1_core.data import schemas
from gr1_core.data.bag import Bag
from tests.data.bag_fixture import demonstration

ROOT = "rosbag2_bagfile_information"
OWN_TYPE = "lab_msgs/msg/Thing"
DEFINITION = "float32 a\nstring b\n"


def rewrite(
    source: Path,
    target: Path,
    change=lambda *message: [message],
    late_channels: bool = False,
    labels: bool = True,
    finish: bool = True,
    **options,
) -> Path:
    """change(topic, type, log_time, publish_time, data) -> such tuples. late_channels: a channel is
    written before its first message. labels: the metadata record with our labels. finish: with summary
    and end mark. options: of mcap's Writer. metadata.yaml is that of the source, with the new topics and
    counts.
    """
    bag = Bag(source)
    messages = [
        new
        for m in bag.messages()
        for new in change(m.topic, m.type, m.log_time, m.publish_time, bytes(m.data))
    ]
    target.mkdir(parents=True)
    path = target / f"{target.name}_0.mcap"
    with open(path, "wb") as stream:
        options = {"compression": CompressionType.NONE, "chunk_size": 20_000} | options
        writer = Writer(stream, **options)
        writer.start("ros2", "another program")
        if labels:
            writer.add_metadata("gr1", bag.labels)
        known: dict[str, int] = {}
        channels: dict[tuple[str, str], int] = {}

        def channel(topic: str, type: str) -> int:
            if (topic, type) not in channels:
                if type not in known:
                    text = schemas.type_definition(type) if schemas.is_known(type) else DEFINITION
                    known[type] = writer.register_schema(type, "ros2msg", text.encode()) if type else 0
                channels[topic, type] = writer.register_channel(topic, "cdr" if type else "json", known[type])
            return channels[topic, type]

        if not late_channels:
            for topic, type, *_ in messages:
                channel(topic, type)
        for topic, type, log_time, publish_time, data in messages:
            writer.add_message(channel(topic, type), log_time, data, publish_time)
        if finish:
            writer.finish()
        else:
            writer.flush()
    counts: dict[tuple[str, str], int] = {}
    for topic, type, *_ in messages:
        counts[topic, type] = counts.get((topic, type), 0) + 1
    information = yaml.safe_load((source / "metadata.yaml").read_text())
    times = [message[2] for message in messages]
    information[ROOT] |= {
        "relative_file_paths": [path.name],
        "message_count": len(messages),
        "starting_time": {"nanoseconds_since_epoch": min(times)},
        "duration": {"nanoseconds": max(times) - min(times)},
        "topics_with_message_count": [
            {"topic_metadata": {"name": topic, "type": type}, "message_count": count}
            for (topic, type), count in counts.items()
        ],
    }
    information[ROOT]["custom_data"].pop("topics")
    (target / "metadata.yaml").write_text(yaml.safe_dump(information))
    return target


def unfinished(folder: Path, target: Path) -> Path:
    """A copy without metadata.yaml."""
    shutil.copytree(folder, target)
    (target / "metadata.yaml").unlink()
    return target


def add_own_type(topic="/lab/thing", type=OWN_TYPE, every=3):
    """A change that puts a message of a laboratory's own type behind every third one."""
    count = 0

    def change(*message):
        nonlocal count
        count += 1
        more = [(topic, type, *message[2:4], b"\0\1\0\0\0\0\0\0\1\0\0\0\0")] if count % every == 0 else []
        return [message, *more]

    return change


def retype(suffix: str, type: str, make):
    """A change that gives the topics with this ending another type; make(old message) -> fields of the
    new one.
    """

    def change(topic, old, log_time, publish_time, data):
        if not topic.endswith(suffix):
            return [(topic, old, log_time, publish_time, data)]
        fields = make(schemas.deserialize(old, data))
        new = schemas.serialize(schemas.make_message(type, **fields), type)
        return [(topic, type, log_time, publish_time, new)]

    return change


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    """A whole demonstration."""
    return demonstration(steps=12).save(tmp_path_factory.mktemp("bags") / "ours")


def messages(folder) -> Counter:
    return Counter(
        (m.topic, m.type, m.log_time, m.publish_time, bytes(m.data)) for m in Bag(folder).messages()
    )


def edit(folder: Path, **fields) -> None:
    """Changes fields of metadata.yaml."""
    path = folder / "metadata.yaml"
    information = yaml.safe_load(path.read_text())
    information[ROOT] |= fields
    path.write_text(yaml.safe_dump(information))


def label(name: str, text: str):
    """An edit that gives a bag this label."""

    def change(folder):
        information = yaml.safe_load((folder / "metadata.yaml").read_text())
        information[ROOT]["custom_data"][name] = text
        (folder / "metadata.yaml").write_text(yaml.safe_dump(information))

    return change
