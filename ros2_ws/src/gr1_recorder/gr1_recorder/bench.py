"""`gr1 bench record`: what recording two cameras and an arm costs, and that nothing is lost.

A process publishes numbered messages, the real recorder node records them as another, and the bag is read
back.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gr1_core.data.bag import Bag
from gr1_recorder.bench_publisher import CAMERA_HZ, HEIGHT, STATE_HZ, WIDTH
from gr1_recorder.client import Recorder
from gr1_recorder.streams import IMAGES
from gr1_recorder.writer import MB

_CDR_FRAME_ID = 12
"""Where a header's frame_id begins in serialized bytes: after encapsulation and stamp; its length comes
first.
"""


def run(seconds: float, folder: Path | None) -> None:
    """Records `seconds` of each kind of image into a folder of its own below `folder` (None: the system's),
    which is removed again.
    """
    document = {
        "seconds": seconds,
        "cameras": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "camera_hz": CAMERA_HZ,
        "state_hz": STATE_HZ,
    }
    for images in IMAGES:
        with tempfile.TemporaryDirectory(prefix="gr1_bench_record_", dir=folder) as root:
            document[images] = _record(images, seconds, Path(root))
        print(f"{images:4s}  {json.dumps(document[images])}", flush=True)
    print(json.dumps(document))


def _record(images: str, seconds: float, root: Path) -> dict:
    rates = [f"hz.camera_{role}:={float(CAMERA_HZ)}" for role in ("static", "wrist")]
    parameters = [f"root:={root}", f"images:={images}", f"max_episode_s:={seconds + 60.0}", *rates]
    ros = [
        "--ros-args",
        "--log-level",
        "error",
        *(word for parameter in parameters for word in ("-p", parameter)),
    ]
    with (
        _process("gr1_recorder.bench_publisher", images) as publisher,
        _process("gr1_recorder.recorder_node", *ros) as recorder,
        Recorder() as control,
    ):
        name = control.start()
        used, began = _processor_seconds(recorder.pid), time.monotonic()
        time.sleep(seconds)
        busy = (_processor_seconds(recorder.pid) - used) / (time.monotonic() - began)
        publisher.send_signal(signal.SIGINT)
        sent = json.loads(publisher.communicate(timeout=30)[0])
        control.success()
    bag = Bag(root / name)
    return {
        "cpu_percent": round(100 * busy, 1),
        **_account(bag, sent),
        "mb_per_s": round(bag.path.stat().st_size / MB / bag.duration_s, 2),
    }


def _account(bag: Bag, sent: dict[str, int]) -> dict:
    """Of what was published from the first recorded number on: how much is in the bag. The recorder's own
    account beside it.
    """
    expected = recorded = 0
    for topic, last in sent.items():
        numbers = [_number(message.data) for message in bag.messages([f"/{topic}"])]
        expected += last - min(numbers)
        recorded += len(set(numbers))
    streams = json.loads(bag.labels["topics"]).values()
    counted = sum(stream["lost"] + stream["dropped"] for stream in streams)
    return {
        "published": expected,
        "recorded": recorded,
        "lost": expected - recorded,
        "lost_as_counted_by_the_recorder": counted,
    }


def _number(data: memoryview) -> int:
    (length,) = struct.unpack_from("<I", data, _CDR_FRAME_ID)
    return int(bytes(data[_CDR_FRAME_ID + 4 : _CDR_FRAME_ID + 3 + length]))


@contextlib.contextmanager
def _process(module: str, *words: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
