"""`gr1 bags` as a person uses it."""

import json
import shutil

import pytest

from gr1_core import cli
from gr1_core.data.bag import Bag
from tests.data.bag_fixture import demonstration


@pytest.fixture
def bags(tmp_path):
    """Two whole bags, one that lost messages, one without metadata.yaml."""
    one = demonstration(steps=5).save(tmp_path / "2024-05-01" / "one")
    lossy = json.dumps(
        {
            "/arm/pose": {
                "expected": 33,
                "received": 30,
                "lost": 2,
                "dropped": 1,
                "gaps": 1,
                "longest_gap_ms": 80.0,
            }
        }
    )
    demonstration(seed=1, steps=5).save(
        tmp_path / "2024-05-02" / "two", outcome="failure", topics=lossy, operator="bob"
    )
    shutil.copytree(one, tmp_path / "cut")
    (tmp_path / "cut" / "metadata.yaml").unlink()
    return tmp_path


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = cli.main(["bags", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_list_shows_each_bag_with_its_problems(bags, capsys):
    status, out, _ = run(capsys, "list", bags)
    lines = out.splitlines()
    assert status == 0 and len(lines) == 5
    assert lines[1].split()[:5] == ["one", "lift", "the", "cup", "success"] and "alice" in lines[1]
    assert "failure" in lines[2] and "bob" in lines[2] and "3 messages lost (/arm/pose)" in lines[2]
    assert lines[3].startswith("cut") and "gr1 bags recover" in lines[3]
    assert lines[4].startswith("3 bags, 1 success,")


def test_list_as_json_has_the_same_rows(bags, capsys):
    _, out, _ = run(capsys, "list", bags, "--json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == ["one", "two", "cut"]
    assert [row["outcome"] for row in rows] == ["success", "failure", "unfinished"]
    assert rows[0]["seconds"] == pytest.approx(1.0, abs=0.6) and rows[0]["problems"] == []


def test_a_bag_that_cannot_be_read_is_a_row_and_not_an_error(bags, capsys):
    (bags / "2024-05-01" / "one" / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    status, out, _ = run(capsys, "list", bags)
    assert status == 0 and "not a metadata.yaml of rosbag2" in out.splitlines()[1] and "two" in out


def test_show_prints_labels_and_the_counts_of_each_topic(bags, capsys):
    status, out, _ = run(capsys, "show", bags / "2024-05-02" / "two")
    assert status == 0 and "lift the cup" in out and "kinova_gen2" in out
    (pose,) = [line.split() for line in out.splitlines() if line.startswith("/arm/pose")]
    assert pose[1:7] == ["geometry_msgs/msg/PoseStamped", "33", "30", "3", "1", "80.0"]


def test_relabel_changes_several_bags_and_prints_the_changes(bags, capsys):
    two = [bags / "2024-05-01" / "one", bags / "2024-05-02" / "two"]
    status, out, _ = run(capsys, "relabel", *two, "--outcome", "discarded", "--note", "lights were off")
    assert status == 0
    assert out.splitlines() == [
        "one: outcome 'success' -> 'discarded', note '' -> 'lights were off'",
        "two: outcome 'failure' -> 'discarded', note '' -> 'lights were off'",
    ]
    assert [Bag(folder).outcome for folder in two] == ["discarded", "discarded"]


def test_relabel_changes_nothing_when_one_bag_or_label_is_wrong(bags, capsys):
    one = bags / "2024-05-01" / "one"
    for arguments, message in (
        ((one, bags / "cut", "--outcome", "discarded"), "is unfinished"),
        ((one, "--outcome", "lost"), "'lost' is not one of"),
        ((one,), "nothing to change: give --outcome"),
    ):
        status, _, error = run(capsys, "relabel", *arguments)
        assert status == 1 and message in error and len(error.splitlines()) == 1
    assert Bag(one).outcome == "success"


def test_verify_reads_all_bags_below_a_folder_and_its_exit_code_is_1_if_one_has_problems(bags, capsys):
    status, out, _ = run(capsys, "verify", bags)
    assert status == 1
    assert [line.split(":")[0] for line in out.splitlines()] == ["two", "cut", "3 bags read, 2 with problems"]
    status, out, _ = run(capsys, "verify", bags / "2024-05-01" / "one")
    assert status == 0 and out == "1 bag read, 0 with problems\n"


def test_a_missing_folder_is_an_error_of_one_line(tmp_path, capsys):
    for what in ("list", "verify", "recover", "show"):
        status, _, error = run(capsys, what, tmp_path / "nowhere")
        assert status in (1, 2) and "no " in error and "nowhere" in error and error.count("\n") == 1


@pytest.mark.parametrize("left", [0, 2000])
def test_list_shows_a_truncated_file_as_damaged_and_not_as_a_success(bags, capsys, left):
    (mcap,) = (bags / "2024-05-01" / "one").glob("*.mcap")
    mcap.write_bytes(mcap.read_bytes()[:left])
    _, out, _ = run(capsys, "list", bags)
    assert "damaged: gr1 bags verify" in out.splitlines()[1]
    assert out.splitlines()[-1].startswith("3 bags, 0 successes, 1 damaged,")


def test_verify_prints_how_to_save_a_damaged_bag_and_that_works(bags, capsys):
    one = bags / "2024-05-01" / "one"
    (mcap,) = one.glob("*.mcap")
    whole = mcap.read_bytes()
    mcap.write_bytes(whole[: len(whole) // 2])
    status, out, _ = run(capsys, "verify", one)
    assert status == 1 and out.count(": count:") == 1
    assert f"to save what can be read: `gr1 bags recover {one}`" in out
    run(capsys, "relabel", one, "--note", "checked by eye", "--outcome", "failure")
    for damage in (whole[: len(whole) // 2], whole[:-20], whole[:-20] + b"x" * 20):
        mcap.write_bytes(damage)
        assert run(capsys, "recover", one)[0] == 0
        status, out, _ = run(capsys, "verify", one)
        assert not [line for line in out.splitlines() if "checksum" in line or "cut off" in line]
        assert Bag(one).outcome == "failure" and Bag(one).labels["note"].startswith("checked by eye")
    assert run(capsys, "recover", one)[1] == "one: is complete and undamaged\n"


def test_a_long_foreign_label_does_not_flood_the_list(bags, capsys):
    path = bags / "2024-05-01" / "one" / "metadata.yaml"
    path.write_text(
        path.read_text().replace("instruction: lift the cup", 'instruction: "' + "many words\\n" * 100 + '"')
    )
    _, out, _ = run(capsys, "list", bags, "--json")
    (problem,) = json.loads(out)[0]["problems"]
    assert "control characters" in problem and "\n" not in problem and len(problem) < 300 + len(str(bags))


@pytest.mark.parametrize("what", ["list", "verify"])
def test_a_folder_without_bags_is_named(tmp_path, capsys, what):
    status, _, error = run(capsys, what, tmp_path)
    assert status == 1 and error == f"gr1: no bags below {tmp_path}\n"


def test_a_file_in_place_of_a_bag_is_named_as_a_file(bags, capsys):
    (mcap,) = (bags / "2024-05-01" / "one").glob("*.mcap")
    for what in ("verify", "list", "show"):
        status, _, error = run(capsys, what, mcap)
        assert status == 1 and "it is a file" in error
