"""A small bag of another stack: other topics, no labels, as rosbag2 writes it in its storages."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml
from rosbags.convert.converter import convert
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from gr1_core import images

from . import public_lerobot

STORE = get_typestore(Stores.ROS2_HUMBLE)
JOINTS = ("shoulder", "elbow")
MAPPING = {
    "cameras": {"static": "/front/color", "wrist": "/hand/color/compressed"},
    "state": {
        "position": {
            "feature": "/tool",
            "take": ["pose.position.x", "pose.position.y", "pose.position.z"],
        },
        "rotation": {
            "feature": "/tool",
            "take": [f"pose.orientation.{axis}" for axis in "xyzw"],
            "as": "quaternion_xyzw",
        },
        "gripper": {"feature": "/jaw", "take": ["data"], "open_above": 0.5},
    },
    "action": {"kind": "next_state"},
    "instruction": "stack the cups",
}
URDF = """<robot name="two">
<link name="base"/><link name="upper"/><link name="lower"/><link name="tool"/>
<joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
<origin xyz="0.3 0 0.1"/><axis xyz="0 0 1"/></joint>
<joint name="elbow" type="revolute"><parent link="upper"/><child link="lower"/>
<origin xyz="0.1 0 0"/><axis xyz="0 0 1"/></joint>
<joint name="flange" type="fixed"><parent link="lower"/><child link="tool"/>
<origin xyz="0.05 0 0.05" rpy="3.14159265 0 0"/></joint></robot>"""


def write_mapping(path: Path, changes: dict | None = None) -> Path:
    path.write_text(yaml.safe_dump({**MAPPING, **(changes or {})}))
    return path


def make(
    folder: Path,
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode | None = None,
    steps: int = 30,
    hz: float = 20,
    gap: range = range(0),
    encoding: str = "rgb8",
) -> Path:
    """A bag of `steps` frames at `hz`. gap: frames that the front camera did not deliver."""
    writer = Writer(folder, version=8, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    types = STORE.types
    with writer:

        def connect(topic, name):
            return writer.add_connection(topic, name, typestore=STORE)

        front = connect("/front/color", "sensor_msgs/msg/Image")
        hand = connect("/hand/color/compressed", "sensor_msgs/msg/CompressedImage")
        tool = connect("/tool", "geometry_msgs/msg/PoseStamped")
        jaw = connect("/jaw", "std_msgs/msg/Float32")
        joints = connect("/joints", "sensor_msgs/msg/JointState")
        text = connect("/task", "std_msgs/msg/String")

        def write(connection, time, name, *fields):
            message = types[name](*fields)
            writer.write(connection, time, STORE.serialize_cdr(message, name))

        write(text, 1_000_000_000, "std_msgs/msg/String", "wipe the table")
        for step in range(steps):
            time = 1_000_000_000 + round(step * 1e9 / hz)
            stamp = types["builtin_interfaces/msg/Time"](time // 10**9, time % 10**9)
            header = types["std_msgs/msg/Header"](stamp, "base")
            point = types["geometry_msgs/msg/Point"](0.4 + 0.002 * step, 0.1, 0.3)
            turn = types["geometry_msgs/msg/Quaternion"](1.0, 0.0, 0.0, 0.0)
            pose = types["geometry_msgs/msg/Pose"](point, turn)
            write(tool, time, "geometry_msgs/msg/PoseStamped", header, pose)
            write(jaw, time, "std_msgs/msg/Float32", float(step < steps // 2))
            order = [1, 0] if step % 2 else [0, 1]  # the order of joints is not fixed
            names, angles = [JOINTS[i] for i in order], np.array([0.02 * step, -0.01 * step])[order]
            none = np.zeros(0)
            write(joints, time, "sensor_msgs/msg/JointState", header, names, angles, none, none)
            frame_image = public_lerobot.image(0, step)
            if step not in gap:
                pixels = raw(frame_image, encoding)
                shape, width = frame_image.shape[:2], pixels.size // frame_image.shape[0]
                fields = header, *shape, encoding, 0, width, pixels.ravel()
                write(front, time, "sensor_msgs/msg/Image", *fields)
            data = np.frombuffer(images.encode_jpeg(frame_image), np.uint8)
            write(hand, time, "sensor_msgs/msg/CompressedImage", header, "jpeg", data)
    return folder


def make_ros1(path: Path) -> Path:
    """The bag of `make` as a ROS 1 file."""
    whole = make(path.with_suffix(".whole"))
    ros1 = get_typestore(Stores.ROS1_NOETIC)
    convert([whole], path, "sqlite3", 8, None, "file", STORE, ros1, (), (), (), ())
    shutil.rmtree(whole)
    return path


def make_split(folder: Path, storage: StoragePlugin) -> Path:
    """The bag of `make` in two files of half of the messages each, as rosbag2 splits a long recording."""
    whole = make(folder.with_suffix(".whole"), storage)
    described = []
    with Reader(whole) as reader:
        for half in range(2):
            part = folder.with_suffix(f".{half}")
            with Writer(part, version=8, storage_plugin=storage) as writer:
                ours = {
                    one.id: writer.add_connection(one.topic, one.msgtype, typestore=STORE)
                    for one in reader.connections
                }
                middle = (reader.start_time + reader.end_time) // 2
                bounds = {"stop": middle} if half == 0 else {"start": middle}
                for connection, time, data in reader.messages(**bounds):
                    writer.write(ours[connection.id], time, data)
            described.append(yaml.safe_load((part / "metadata.yaml").read_text()))
            file = next(one for one in part.iterdir() if one.suffix != ".yaml")
            folder.mkdir(exist_ok=True)
            name = f"bag_{half}{file.suffix}"
            file.rename(folder / name)
            described[-1]["rosbag2_bagfile_information"]["relative_file_paths"] = [name]
            shutil.rmtree(part)
    first, second = (one["rosbag2_bagfile_information"] for one in described)
    first["relative_file_paths"] += second["relative_file_paths"]
    first["files"] = [{**one["files"][0], "path": one["relative_file_paths"][-1]} for one in (first, second)]
    first["message_count"] += second["message_count"]
    first["duration"]["nanoseconds"] += second["duration"]["nanoseconds"]
    (folder / "metadata.yaml").write_text(yaml.safe_dump(described[0]))
    shutil.rmtree(whole)
    return folder


def raw(frame_image: np.ndarray, encoding: str) -> np.ndarray:
    """u8 [H, W * channels] of an RGB image."""
    alpha = np.full((*frame_image.shape[:2], 1), 255, np.uint8)
    layouts = {
        "rgb8": frame_image,
        "bgr8": frame_image[:, :, ::-1],
        "rgba8": np.concatenate([frame_image, alpha], 2),
        "bgra8": np.concatenate([frame_image[:, :, ::-1], alpha], 2),
        "mono8": frame_image[:, :, :1],
        "16UC1": np.repeat(frame_image[:, :, :1], 2, axis=2),
    }
    return np.ascontiguousarray(layouts[encoding]).reshape(frame_image.shape[0], -1)
