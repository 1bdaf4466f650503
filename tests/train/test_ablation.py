"""The ablation: recipes that differ in one thing each, less data that stays a part of all data, and the
program that runs them.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gr1_core.train import recipe
from gr1_core.train.data import open_training_data
from gr1_core.train.recipe import RecipeError

from . import sets

ROOT = Path(__file__).parents[2]
FAKE = """
import json, pathlib, sys
words = sys.argv[1:]
with open("asked.txt", "a") as file:
    file.write(" ".join(words) + chr(10))
if words[0] == "finetune":
    out = pathlib.Path(next(word[4:] for word in words if word.startswith("out=")))
    out.mkdir(parents=True, exist_ok=True)
    error = 3.0 if "seed=0" in words else 5.0
    held_out = {} if pathlib.Path("mute").exists() else {"held_out": {"action_mm": error}}
    (out / "log.jsonl").write_text(json.dumps({"step": 7} | held_out) + chr(10))
    sys.exit(143 if pathlib.Path("cut").exists() and "seed=1" in words else 0)
if words[1] == "data":
    error = 2.0 if "seed0" in words[3] else 4.0
    print(json.dumps({"action_mm": error, "action_deg": 1.0, "gripper_accuracy": 0.9}))
else:
    print("a table for people")
    done = 80 if "seed0" in words[3] else 90
    names = [f"{number}" for number in range(10)]
    if "--tasks" in words:
        names = sorted(words[words.index("--tasks") + 1].split(","))
    columns = words[words.index("--suites") + 1].split(",")
    tasks = {name: {"episodes": 100 // len(names), "successes": done // len(names)} for name in names}
    swapped = {name: {"episodes": 100 // len(names), "successes": 0} for name in names}
    each = {column: swapped if column == "swap" else tasks for column in columns}
    whole = {
        column: {"episodes": 100, "successes": sum(one["successes"] for one in of.values())}
        for column, of in each.items()
    }
    print(json.dumps({"suites": whole, "tasks": each}))
"""


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("ablation", ROOT / "scripts" / "ablation.py")
    module = sys.modules["ablation"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(ablation, tmp_path, monkeypatch):
    """The program in an empty folder, with a gr1 that only writes down what it was asked."""
    (tmp_path / "gr1.py").write_text(FAKE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "GR1", (sys.executable, str(tmp_path / "gr1.py")))
    shared = [
        "--data",
        "d",
        "--out",
        "o",
        "--recipes",
        "ablation-video,ablation-pretrained",
        "--seeds",
        "0,1",
    ]
    return lambda *words: ablation.main([*shared, *words])


def asked():
    return Path("asked.txt").read_text().splitlines() if Path("asked.txt").exists() else []


def load(name, *changes):
    return recipe.load(name, ["data=d", *changes])


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("ablation-no-video", {"loss.static", "loss.wrist"}),
        ("ablation-pretrained", {"init"}),
        ("ablation-video-10pct", {"share"}),
        ("ablation-no-video-10pct", {"loss.static", "loss.wrist", "share"}),
        ("ablation-pretrained-10pct", {"init", "share"}),
        ("ablation-future-1", {"model.future_steps"}),
        ("ablation-future-5", {"model.future_steps"}),
    ],
)
def test_a_recipe_differs_from_the_one_it_is_compared_with_in_what_it_is_named_for(name, differs):
    lines = recipe.changed_settings(load("ablation-video").to_dict(), load(name).to_dict())
    assert {line.split(" was ")[0] for line in lines} == differs


def test_all_eight_recipes_are_run_unless_others_are_named(ablation):
    assert sorted(ablation.RECIPES) == [name for name in recipe.built_in() if name.startswith("ablation")]


def test_less_data_is_part_of_all_data_and_the_same_is_held_out(tmp_path):
    folder = sets.demonstrations(tmp_path / "d", episodes=60, length=4)
    changes = [f"data={folder}", "model={size: demo}"]
    everything, half, tenth = (
        open_training_data(recipe.load("finetune-small", [*changes, f"share={share}"]))
        for share in ("null", "0.5", "0.1")
    )
    chosen = [set(data.train.episodes.tolist()) for data in (everything, half, tenth)]
    assert chosen[2] < chosen[1] < chosen[0] and [len(one) for one in chosen] == [54, 27, 5]
    assert set(everything.held.episodes) == set(tenth.held.episodes) and not chosen[0] & set(
        everything.held.episodes
    )
    other = open_training_data(recipe.load("finetune-small", [*changes, "share=0.1", "seed=1"]))
    assert set(other.train.episodes.tolist()) != chosen[2]


@pytest.mark.parametrize("share", ["0", "1.5", "-0.1"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(RecipeError, match="share must be in"):
        load("finetune-small", f"share={share}")


def test_every_recipe_is_trained_and_judged_with_every_seed(run):
    assert run("steps=7", "--init", "videos", "--episodes", "100") == 0
    assert [line.split()[0] for line in asked()] == ["finetune", "evaluate"] * 4
    assert asked()[0] == "finetune ablation-video data=d seed=0 out=o/ablation-video-seed0 steps=7"
    assert (
        asked()[2]
        == "finetune ablation-pretrained data=d seed=0 out=o/ablation-pretrained-seed0 steps=7 init=videos"
    )
    expected = (
        "evaluate sim --checkpoint o/ablation-video-seed1 --suites seen,instances,categories,drawer "
        "--episodes 100 --seed 500000"
    )
    assert asked()[5] == expected
    written = Path("o/ablation.md").read_text()
    success = "**0.85** [0.79, 0.89] (0.80, 0.90)"
    every = "**0.85** [0.82, 0.87] (0.80, 0.90)"
    assert f"| `ablation-video` | 2 | {every} | {' | '.join([success] * 4)} | 4.000 +- 1.414 |" in written
    assert f"    gr1 {expected}" in written


def test_few_tasks_have_a_column_each(run):
    words = "--suites", "drawer", "--tasks", "open_drawer,close_drawer"
    assert run(*words, "--seeds", "0", "--seconds", "15") == 0
    assert (
        "--suites drawer --tasks open_drawer,close_drawer --episodes 100 --seed 500000 --seconds 15"
        in asked()[1]
    )
    written = Path("o/ablation.md").read_text()
    assert "| recipe | seeds | all | close_drawer | open_drawer | held out, mm |" in written
    cells = (
        "**0.80** [0.71, 0.87] (0.80) | **0.80** [0.67, 0.89] (0.80) | **0.80** [0.67, 0.89] (0.80) | 3.000 |"
    )
    assert f"| `ablation-video` | 1 | {cells}" in written


def test_a_task_of_two_columns_counts_in_both(run):
    tasks = "take_broccoli_from_plate,take_eggplant_from_plate"
    assert run("--suites", "seen,swap", "--tasks", tasks, "--seeds", "0") == 0
    whole, each = "**0.80** [0.71, 0.87] (0.80)", "**0.40** [0.31, 0.50] (0.40)"
    assert (
        f"| `ablation-video` | 1 | {whole} | {each} | {each} | 3.000 |" in Path("o/ablation.md").read_text()
    ), "all is without the swap"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tasks", "open_drawer"], "suite 'seen' has none of the tasks open_drawer: leave the suite out"),
        (["--tasks", ""], "--tasks '': a name is empty"),
        (["--suites", "seen,drawers"], "unknown suite 'drawers', did you mean 'drawer'"),
    ],
)
def test_what_could_not_be_judged_is_not_trained(run, capsys, words, why):
    assert run(*words) == 1 and not asked()
    assert why in capsys.readouterr().err


def test_a_run_that_holds_nothing_out_is_named_before_it_is_judged(run, capsys):
    Path("mute").touch()
    assert run() == 1 and [line.split()[0] for line in asked()] == ["finetune"]
    assert "ablation-video-seed0/log.jsonl has no held-out figures" in capsys.readouterr().err
    assert run("--evaluate", "data") == 0, "which needs none"


def test_what_is_done_is_not_done_again_unless_it_was_asked_otherwise(run):
    assert run() == 0 and len(asked()) == 8
    assert run() == 0 and len(asked()) == 8
    assert run("--episodes", "50") == 0 and len(asked()) == 16


def test_a_command_that_ends_early_ends_the_program_and_it_goes_on_there(run, capsys):
    Path("cut").touch()
    assert run() == 1
    assert (
        "ended with code 143" in capsys.readouterr().err
        and "| `ablation-pretrained` | 1 |" in Path("o/ablation.md").read_text()
    )
    Path("cut").unlink()
    before = len(asked())
    assert run() == 0 and [line.split()[0] for line in asked()[before:]] == ["finetune", "evaluate"] * 2


def test_held_out_errors_have_a_mean_and_a_spread(run):
    assert run("--evaluate", "data") == 0
    assert (
        "| `ablation-video` | 2 | 3.000 +- 1.414 | 1.000 +- 0.000 | 0.900 +- 0.000 |"
        in Path("o/ablation.md").read_text()
    )
    assert json.loads(Path("o/ablation-video-seed0.json").read_text())["figures"]["action_mm"] == 2.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"recipe": "abl', "Unterminated string"),
        ("[]", "it is no JSON object"),
        ('{"train": [], "evaluate": []}', "it lacks figures, held_out, recipe, "),
    ],
)
def test_a_result_that_is_none_is_named_with_the_remedy(run, capsys, text, why):
    Path("o").mkdir()
    Path("o/ablation-video-seed0.json").write_text(text)
    assert run() == 1 and not asked()
    told = capsys.readouterr().err
    assert f"o/ablation-video-seed0.json is no result of this program ({why}" in told and "delete it" in told
    Path("o/ablation-video-seed0.json").unlink()
    assert run() == 0


def test_an_unknown_recipe_is_named(run, capsys):
    assert run("--recipes", "ablation-vidoe") == 1
    assert "did you mean 'ablation-video'" in capsys.readouterr().err
