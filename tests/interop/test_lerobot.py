"""The real lerobot library opens what `gr1 convert` writes, offline, and gives what our own reader gives; and
the other way round.

Runs in an environment of its own: `make test-lerobot`.
"""

import numpy as np
import pytest
import yaml

from gr1_core import images
from gr1_core.data import windows
from gr1_core.data.convert import conversion
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.calvin import CalvinSource
from gr1_core.data.convert.sources.ego4d import Ego4DSource
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.dataset import Dataset
from tests.data import bag_fixture, calvin_fixture, ego4d_fixture

pytestmark = pytest.mark.lerobot
lerobot_dataset = pytest.importorskip(
    "lerobot.datasets.lerobot_dataset",
    reason="lerobot is not in this environment: make test-lerobot",
    exc_type=ImportError,
)
WINDOW, FUTURE = 10, 3


def bags(folder):
    for seed, kind in enumerate(("jpeg", "raw")):
        bag_fixture.demonstration(seed, 15, kind).save(folder / "bags" / f"episode-{seed}")
    return BagSource(folder / "bags")


def calvin(folder):
    return CalvinSource(calvin_fixture.make(folder))


def calvin_png(folder):
    return CalvinSource(calvin_fixture.make(folder, spans=2), images="png")


def ego4d(folder):
    return Ego4DSource(ego4d_fixture.make(folder))


@pytest.fixture(scope="module", params=[bags, calvin, calvin_png, ego4d], ids=lambda make: make.__name__)
def converted(request, tmp_path_factory):
    """A dataset made by `gr1 convert`, opened by us."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    conversion.convert(request.param(folder), folder / "set", workers=1, progress=False)
    return Dataset(folder / "set")


def open_with_lerobot(dataset, **options):
    return lerobot_dataset.LeRobotDataset("somebody/something", root=dataset.root, **options)


def pixels(tensor) -> np.ndarray:
    """lerobot's f32[..., 3, H, W] in 0..1 -> u8[..., H, W, 3]."""
    return np.moveaxis((tensor.numpy() * 255).round().astype(np.uint8), -3, -1)


def test_lerobot_reads_the_same_frames(converted):
    theirs = open_with_lerobot(converted)
    assert (len(theirs), theirs.fps, theirs.num_episodes) == (
        converted.length,
        converted.fps,
        len(converted.episodes),
    )
    for index in range(converted.length):
        item, episode = theirs[index], int(np.searchsorted(converted.episodes["end"], index, "right"))
        for role in converted.roles:
            np.testing.assert_array_equal(
                pixels(item[f"observation.images.{role}"]),
                images.decode(converted.encoded(role, index)),
                f"{role} {index}",
            )
        if converted.kind == "demonstrations":
            np.testing.assert_array_equal(item["observation.state"].numpy(), converted.state[index])
            np.testing.assert_array_equal(item["action"].numpy(), converted.action[index])
        assert item["task"] == converted.tasks[converted.task_of[episode]]
        assert item["episode_index"] == episode
        start = converted.episodes[episode]["start"]
        assert item["timestamp"].item() == pytest.approx((index - start) / converted.fps, abs=1e-6)


def test_lerobot_reads_the_same_windows(converted, monkeypatch):
    """delta_timestamps of 13 frames, also past an episode's end: the same frames, and padding where our masks
    say invalid.
    """
    monkeypatch.setattr(
        windows, "_text_tokens", lambda dataset, used: np.zeros((len(dataset.tasks), 77), np.uint16)
    )  # transformers needs another hub than lerobot
    ahead = [step / converted.fps for step in range(WINDOW + FUTURE)]
    names = [f"observation.images.{role}" for role in converted.roles]
    theirs = open_with_lerobot(converted, delta_timestamps={name: ahead for name in names})
    ours = windows.Windows(converted, None, WINDOW, FUTURE)
    assert len(ours) == len(theirs)
    chosen = [*np.random.default_rng(0).permutation(len(ours))[:12].tolist(), len(ours) - 1]
    frames, valid, _ = ours.masks(chosen)
    for index, rows, inside in zip(chosen, frames, valid):
        item = theirs[index]
        for role, name in zip(converted.roles, names):
            expected = np.stack([converted.image(role, row) for row in rows])
            np.testing.assert_array_equal(pixels(item[name]), expected, f"{role} {index}")
            np.testing.assert_array_equal(item[f"{name}_is_pad"].numpy()[:WINDOW], ~inside)


def test_lerobot_can_select_one_episode(converted):
    last = len(converted.episodes) - 1
    theirs = open_with_lerobot(converted, episodes=[last])
    start, end = converted.episodes[last]
    assert len(theirs) == end - start
    np.testing.assert_array_equal(
        pixels(theirs[0]["observation.images.static"]), converted.image("static", start)
    )


def test_lerobot_reads_the_statistics(converted):
    """Its policies normalise with meta.stats."""
    stats = open_with_lerobot(converted).meta.stats
    assert stats["observation.images.static"]["mean"].shape == (3, 1, 1)
    if converted.kind == "demonstrations":
        np.testing.assert_allclose(stats["action"]["max"], converted.action.max(axis=0), rtol=1e-6)
        np.testing.assert_allclose(
            stats["observation.state"]["mean"], converted.state.mean(axis=0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("videos", [False, True], ids=["images", "videos"])
def test_a_dataset_recorded_by_lerobot_can_be_converted(tmp_path, videos):
    """A dataset written by lerobot's own recorder, as image files or video, through a mapping: same frames,
    same motion.
    """
    camera = {
        "dtype": "video" if videos else "image",
        "shape": (64, 96, 3),
        "names": ["height", "width", "channels"],
    }
    features = {
        "observation.images.front": camera,
        "observation.images.hand": camera,
        "observation.state": {
            "dtype": "float32",
            "shape": (7,),
            "names": ["x", "y", "z", "rx", "ry", "rz", "grip"],
        },
        "action": {"dtype": "float32", "shape": (7,), "names": ["x", "y", "z", "rx", "ry", "rz", "grip"]},
    }
    recorded = lerobot_dataset.LeRobotDataset.create(
        "somebody/recorded",
        fps=10,
        features=features,
        root=tmp_path / "recorded",
        use_videos=videos,
        vcodec="h264",
    )
    random, shown = np.random.default_rng(0), []
    for episode in range(2):
        for step in range(12):
            image = np.full((64, 96, 3), (20 * step, 120, 60 * episode), np.uint8)
            pose = np.append(random.uniform(-0.5, 0.5, 6), 0.08).astype(np.float32)
            shown.append((image, pose))
            frame = {
                "observation.images.front": image,
                "observation.images.hand": 255 - image,
                "observation.state": pose,
                "action": pose,
            }
            recorded.add_frame(frame | {"task": f"task {episode}"})
        recorded.save_episode()
    recorded.finalize()

    rig = bag_fixture.tiny_rig().to_dict()
    for role in rig["cameras"]:
        rig["cameras"][role] |= {"width": 96, "height": 64}
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(rig))
    (tmp_path / "mapping.yaml").write_text(
        """
        cameras: {static: observation.images.front, wrist: observation.images.hand}
        state:
          position: {feature: observation.state, take: [x, y, z]}
          rotation: {feature: observation.state, take: [rx, ry, rz], as: euler_xyz}
          gripper: {feature: observation.state, take: grip, open_above: 0.04}
        action: {kind: next_state}
        """
    )
    source = LeRobotSource(tmp_path / "recorded", tmp_path / "mapping.yaml", str(tmp_path / "rig.yaml"))
    conversion.convert(source, tmp_path / "set", workers=1, progress=False)
    ours = Dataset(tmp_path / "set")
    assert (ours.length, ours.fps, ours.tasks) == (24, 10, ["task 0", "task 1"])
    for index, (image, pose) in enumerate(shown):
        difference = np.abs(ours.image("static", index).astype(int) - image)
        assert difference.max() <= (6 if videos else 0), index
        np.testing.assert_allclose(ours.state[index, :3], pose[:3], atol=1e-6)
    moved = ours.state[1:12, :3] - ours.state[:11, :3]
    np.testing.assert_allclose(ours.action[:11, :3] * ours.rig.action.translation_scale, moved, atol=1e-6)
