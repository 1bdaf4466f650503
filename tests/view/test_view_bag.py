"""A bag in the viewer: images as they were recorded, the arm's joints, what the gate said, labels, marks."""

import subprocess
import sys

import numpy as np
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.bag import Bag
from gr1_core.data.marks import exclude_bag, trim_bag
from gr1_core.kinematics import gen2
from gr1_core.rig import Rig
from gr1_core.view.arm_model import built_in_urdf
from tests.data.bag_fixture import demonstration
from tests.data.sets import small_rig
from tests.view.rrd import read

JOINTS = tuple(f"joint_{number}" for number in range(1, 8))
ANGLES = np.array([0.3, 3.4, -0.2, 1.9, 0.1, 2.2, 0.4])


def status(name, level, message, **values):
    pairs = [{"key": key, "value": str(value)} for key, value in values.items()]
    return {"name": name, "level": level, "message": message, "values": pairs}


def gate(recording, at_ms, state, reason, detail=""):
    values = {"state": state, "reason": reason, "detail": detail, "source": "policy"}
    recording.add(
        at_ms, "/diagnostics", status=[status("arm: gate", 0 if state == "moving" else 2, "", **values)]
    )


def pose(place):
    turn = {"x": 1.0, "y": 0.0, "z": 0.0, "w": 0.0}
    return {"position": dict(zip("xyz", map(float, place))), "orientation": turn}


@pytest.fixture(scope="module")
def recording():
    made = demonstration(3, 20)
    for at in range(0, 2000, 20):
        made.add(at, "/joint_states", name=JOINTS, position=ANGLES + 1e-4 * at)
        made.add(at, "/arm/commanded_pose", pose=pose((0.4, 0.0, 0.2 + 1e-4 * at)))
        made.add(at, "/arm/commanded_twist", twist={"linear": {"x": 0.06, "y": 0.08, "z": 0.0}})
    gate(made, 10, "moving", "none")
    gate(made, 900, "stopped", "contact", "31 N")
    score = status("policy: prediction", 0, "", score_static=0.7, score_wrist="none", limit=1.5, ahead_s=0.1)
    made.add(5, "/diagnostics", status=[score])
    made.add(1200, "/diagnostics", status=[status("camera_static: stream", 2, "no camera")])
    return made


@pytest.fixture(scope="module")
def shown(recording, tmp_path_factory):
    """The bag, and what its .rrd holds."""
    folder = tmp_path_factory.mktemp("view")
    bag = recording.save(folder / "bag", note="*bold*")
    trim_bag(bag, start_s=0.5)
    assert main(["view", str(bag), "--save", str(folder / "bag.rrd")]) == 0
    return Bag(bag), read(folder / "bag.rrd")


def test_each_image_is_the_recorded_jpeg_at_its_time(shown):
    bag, entities = shown
    for role in ("static", "wrist"):
        messages = list(bag.messages([f"/camera/{role}/image_raw/compressed"]))
        found = entities[f"cameras/{role}"].values("EncodedImage:blob")
        assert len(found) == len(messages) == 41
        for message, (at, blob) in zip(messages, found):
            assert at == pytest.approx(1e-9 * (message.log_time - bag.start_ns), abs=1e-6)
            assert bytes(message.data).find(blob) > 0, "the same bytes"


def test_states_of_a_higher_rate_are_thinned_and_every_fifth_image_too(recording, tmp_path):
    bag = recording.save(tmp_path / "bag")
    assert main(["view", str(bag), "--save", str(tmp_path / "b.rrd"), "--rate", "4"]) == 0
    entities = read(tmp_path / "b.rrd")
    for name in ("cameras/static", "position/x", "speed/commanded"):
        assert 7 <= len([at for at, _ in entities[name].rows if at is not None]) <= 10, name
    assert len(entities["lanes/gate"].values("StateChange:state")) == 2


def test_what_the_gate_said_is_on_the_timeline_and_in_the_log(shown):
    _, entities = shown
    states = [(round(at, 2), state) for at, state in entities["lanes/gate"].values("StateChange:state")]
    assert states == [(0.01, "moving"), (0.9, "stopped")]
    assert entities["lanes/reason"].at(1.5, "StateChange:state") == "contact"
    assert entities["lanes/driver"].at(1.5, "StateChange:state") == "policy"
    said = [text for _, text in entities["log"].values("TextLog:text")]
    assert "gate stopped: contact: 31 N" in said and "camera_static: stream: no camera" in said


def test_labels_and_marks_are_shown(shown):
    _, entities = shown
    text = entities["instruction"].at(1.0, "TextDocument:text")
    assert "lift the cup" in text and "**success**" in text and "driver alice" in text
    marks = [(round(at, 2), state) for at, state in entities["lanes/marks"].values("StateChange:state")]
    assert [state for _, state in marks if state] == ["trimmed", "used"] and marks[1][0] == 0.5


def test_commanded_and_measured_motion_are_curves(shown):
    _, entities = shown
    assert entities["speed/commanded"].at(1.0, "Scalars:scalars") == pytest.approx(0.1)
    height = entities["position/z_commanded"].at(1.0, "Scalars:scalars")
    assert height == pytest.approx(0.3, abs=0.006)
    assert entities["gripper/measured"].at(1.9, "Scalars:scalars") == 1.0
    assert entities["prediction/static"].at(1.0, "Scalars:scalars") == pytest.approx(0.7)
    assert entities["prediction/limit"].at(1.0, "Scalars:scalars") == pytest.approx(1.5)
    assert "prediction/wrist" not in entities, "there is no score of the wrist camera"


def test_a_predicted_frame_stands_beside_the_real_one_of_its_time(tmp_path):
    made = demonstration(4, 20)
    score = status("policy: prediction", 0, "", ahead_s=0.3)
    made.add(1, "/diagnostics", status=[score])
    for at in range(100, 1500, 100):
        made.add(
            at, "/policy/predicted/static", height=16, width=16, encoding="rgb8", step=48,
            data=np.full((16, 16, 3), at // 10, np.uint8).tobytes(),
        )  # fmt: skip
    bag = made.save(tmp_path / "bag")
    assert main(["view", str(bag), "--save", str(tmp_path / "b.rrd")]) == 0
    found = read(tmp_path / "b.rrd")["predicted/static"].values("EncodedImage:blob")
    for at, blob in found:
        level = int(images.decode(blob).mean())
        assert abs(1000 * at - (10 * level + 300)) < 45, "made 0.3 s before the frame that it is shown with"
    assert len(found) >= 12


def described(tmp_path, recording, **options):
    rig = options.pop("rig", None)
    bag = recording.save(tmp_path / "bag", rig)
    code = main(["view", str(bag), "--save", str(tmp_path / "b.rrd"), *options.get("words", ())])
    return code, read(tmp_path / "b.rrd") if code == 0 else {}


@pytest.mark.parametrize("source", ["the rig", "robot_description", "--urdf"])
def test_the_arm_stands_as_its_joints_say(tmp_path, source):
    """The links' transforms together are the pose that the gate computes."""
    chain = gen2()
    place, _ = chain.forward(ANGLES)
    made, rig, words = demonstration(5, 10), small_rig(), ()
    made.messages = [one for one in made.messages if one[1] != "/arm/pose"]
    made.add(0, "/joint_states", name=JOINTS, position=ANGLES)
    made.add(0.5, "/arm/pose", pose=pose(place))
    made.add(980, "/arm/pose", pose=pose(place))
    if source != "the rig":
        rig = Rig.from_dict(rig.to_dict() | {"name": "of my lab"})
    if source == "robot_description":
        made.add(0, "/robot_description", data=built_in_urdf("kinova_gen2"))
    if source == "--urdf":
        (tmp_path / "arm.urdf").write_text(built_in_urdf("kinova_gen2"))
        words = ("--urdf", str(tmp_path / "arm.urdf"))
    code, entities = described(tmp_path, made, rig=rig, words=words)
    assert code == 0
    from scipy.spatial.transform import Rotation

    xyz, turn, path = np.zeros(3), Rotation.identity(), "world/base_link"
    for link in [*(f"{joint}_link" for joint in JOINTS), "tool_center_point"]:
        path += f"/{link}"
        shift = np.array(entities[path].at(0.5, "Transform3D:translation"))
        quaternion = np.array(entities[path].at(0.5, "Transform3D:quaternion"))
        xyz, turn = xyz + turn.apply(shift), turn * Rotation.from_quat(quaternion)
    np.testing.assert_allclose(xyz, place, atol=1e-4)


def test_an_arm_whose_joints_say_otherwise_is_not_shown_as_a_kinova(tmp_path):
    made = demonstration(6, 10)
    made.add(0, "/joint_states", name=JOINTS, position=ANGLES)
    code, entities = described(tmp_path, made, rig=small_rig())
    assert code == 0 and not [name for name in entities if name.startswith("world/base_link")]
    assert any("no arm model" in text for _, text in entities["log"].values("TextLog:text"))


def test_an_excluded_bag_says_so(tmp_path, recording):
    bag = recording.save(tmp_path / "bag")
    exclude_bag(bag, "the cup fell")
    assert main(["view", str(bag), "--save", str(tmp_path / "b.rrd")]) == 0
    entities = read(tmp_path / "b.rrd")
    assert "the cup fell" in entities["instruction"].at(0.0, "TextDocument:text")
    assert entities["lanes/marks"].at(1.0, "StateChange:state") == "excluded"


def test_a_damaged_message_is_named_and_the_others_are_shown(tmp_path, recording, capsys):
    made = demonstration(7, 10)
    made.messages += [one for one in recording.messages if one[1] == "/diagnostics"]
    made.add(30, "/robot_description", data="<robot")
    code, entities = described(tmp_path, made)
    assert (
        code == 0
        and "/robot_description is not shown: robot_description is not XML" in capsys.readouterr().err
    )
    assert len(entities["cameras/static"].rows) > 10


def test_an_empty_bag_is_refused_before_anything_opens(tmp_path, capsys):
    made = demonstration(8, 4)
    made.messages = [one for one in made.messages if "command" in one[1]]
    bag = made.save(tmp_path / "bag")
    assert main(["view", str(bag), "--save", str(tmp_path / "b.rrd")]) == 1
    assert "holds no message of a topic that is shown" in capsys.readouterr().err
    assert not (tmp_path / "b.rrd").exists()


def test_torch_is_not_loaded(tmp_path, recording):
    bag = recording.save(tmp_path / "bag")
    words = ["view", str(bag), "--save", str(tmp_path / "b.rrd")]
    code = f"import sys; from gr1_core.cli import main; assert main({words!r}) == 0"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
