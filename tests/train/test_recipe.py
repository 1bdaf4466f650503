"""Recipes: the paper's numbers, and what is refused."""

import pytest
import yaml

from gr1_core import GR1Config
from gr1_core.renamed import CONFIG_VALUES, RECIPE_KEYS
from gr1_core.train import recipe
from gr1_core.train.recipe import RecipeError

# The paper's appendix: batch, learning rate, epochs, warm-up epochs.
PAPER = {
    "pretrain-ego4d": (1024, 3.6e-4, 50, 5),
    **{name: (512, 1e-3, 20, 1) for name in recipe.built_in() if name.startswith("finetune-calvin-a")},
    "finetune-calvin-d": (512, 1e-3, 20, 1),
    **{name: (64, 1e-3, 30, 1) for name in recipe.built_in() if name.startswith("finetune-kinova")},
}


def test_the_recipes_that_are_promised_are_there():
    promised = {
        "pretrain-ego4d",
        "finetune-calvin-abcd",
        "finetune-calvin-abc",
        "finetune-calvin-d",
        "finetune-calvin-small",
        "finetune-calvin-abcd-10pct",
        "finetune-calvin-abcd-no-video",
        "finetune-calvin-abcd-no-pretraining",
        "finetune-calvin-abcd-future-1",
        "finetune-calvin-abcd-future-5",
        "finetune-kinova-transport",
        "finetune-kinova-drawer",
        "pretrain-small",
        "finetune-small",
        "pretrain-demo",
        "finetune-demo",
        "ablation-video",
        "ablation-no-video",
        "ablation-pretrained",
        "ablation-video-10pct",
        "ablation-no-video-10pct",
        "ablation-pretrained-10pct",
        "ablation-future-1",
        "ablation-future-5",
        "baseline-rt1",
        "baseline-r3m",
    }
    assert set(recipe.built_in()) == promised


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_table(name):
    followed = recipe.load(name)
    optimizer = followed.optimizer
    assert (followed.batch, optimizer.lr, followed.epochs, followed.warmup_epochs) == PAPER[name]
    future = {
        "pretrain-ego4d": 1,
        "finetune-calvin-abcd-future-1": 1,
        "finetune-calvin-abcd-future-5": 5,
    }.get(name, 3)
    assert followed.config == GR1Config(future_steps=future), (
        "dropout 0.1, a window of 10 and the paper's sizes"
    )
    assert followed.encoders == "official" and not followed.train_vision
    pretraining = name == "pretrain-ego4d"
    assert followed.hz == (3 if pretraining else None)
    video = {"static"} if pretraining else set() if name.endswith("no-video") else {"static", "wrist"}
    assert set(followed.targets) == video | (set() if pretraining else {"action"})
    assert (followed.init is None) == (
        pretraining
        or name.removeprefix("finetune-calvin-abcd-")
        in ("no-video", "no-pretraining", "future-1", "future-5")
    )


def test_warm_up_and_cosine_decay():
    followed = recipe.load("finetune-calvin-abcd")
    steps, warmup = followed.schedule(100)
    assert (steps, warmup) == (2000, 100)
    rates = [followed.learning_rate(step, steps, warmup) for step in range(steps)]
    assert rates[0] == pytest.approx(1e-5) and rates[99] == rates[100] == 1e-3
    assert rates[1050] == pytest.approx(0.5e-3) and 0 < rates[-1] < 1e-8
    assert all(before > after for before, after in zip(rates[100:], rates[101:]))


def test_each_recipe_says_what_it_needs_costs_and_gives():
    for name in recipe.built_in():
        header = (recipe._BUILT_IN / f"{name}.yaml").read_text().split("extends:")[0]
        assert all(word in header for word in ("# needs ", "# costs ", "# expect ")), name


@pytest.mark.parametrize(
    "changes, said",
    [
        (["bach=3"], "bach is unknown, did you mean 'batch'"),
        (["optimizer.learning=1"], "optimizer.learning is unknown; known: lr"),
        (["model.widht=64"], "model.widht is unknown, did you mean 'width'"),
        (["window=500"], "window is unknown, did you mean 'model.window'"),
        (["lr=1e-3"], "lr is unknown, did you mean 'optimizer.lr'"),
        (["model.width=100"], "width 100 is not divisible by heads 6"),
        (["batch=many"], "batch is 'many', expected a whole number"),
        (["batch"], "expected key=value"),
        (["precision=bf61"], "did you mean 'bf16'"),
        (["optimizer.betas=0.9"], "expected 2 finite numbers"),
        (["optimizer=3"], "optimizer is 3, expected keys and values"),
        (["loss.arm=0"], "needs loss.arm and loss.gripper"),
        (["video_share=0"], r"video_share must be in \(0, 1\]"),
        (["video_share=0.5", "stage=pretrain"], "video_share below 1 does not go with stage pretrain"),
        (["colour=-1"], "shift and colour must not be negative"),
        (["hue=1.5"], "hue must be in"),
        (["model.vision=cnn"], "vision is 'cnn', expected vit or conv or conv_film"),
        (["held_out=1"], r"held_out must be in \[0, 1\)"),
        (["data=null"], "data=DIR"),
    ],
)
def test_a_wrong_change_is_named(changes, said):
    with pytest.raises(RecipeError, match=said):
        recipe.load("finetune-small", ["data=d", *changes])


@pytest.mark.parametrize("old", RECIPE_KEYS)
def test_a_key_of_an_older_file_is_refused_with_its_new_name(old):
    with pytest.raises(RecipeError, match=f"{old} is now called {RECIPE_KEYS[old]}"):
        recipe.load("finetune-small", ["data=d", f"{old}=1"])


@pytest.mark.parametrize("old", CONFIG_VALUES)
def test_a_value_of_an_older_file_is_refused_with_its_new_name(old):
    with pytest.raises(RecipeError, match=f"{old[0]} '{old[1]}' is now called '{CONFIG_VALUES[old]}'"):
        recipe.load("finetune-small", ["data=d", f"model.{old[0]}={old[1]}"])


def test_changes_reach_the_recipe():
    followed = recipe.load(
        "finetune-small", ["data=d", "optimizer.lr=3e-4", "cache=off", "model.window=5", "steps=7"]
    )
    assert (
        followed.optimizer.lr == 3e-4
        and followed.cache == "off"
        and followed.config.window == 5
        and followed.schedule(100)[0] == 7
    )


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'finetune-kinova-drawer'"):
        recipe.load("finetune-kinova-darwer")


def test_a_recipe_of_ones_own_extends_a_built_in_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: finetune-small\ndata: here\noptimizer: {lr: 0.5}\n")
    followed = recipe.load(str(tmp_path / "mine.yaml"))
    assert (followed.name, followed.data, followed.optimizer.lr) == ("mine", "here", 0.5)
    assert followed.optimizer.clip_norm == recipe.load("finetune-small", ["data=d"]).optimizer.clip_norm


def test_what_is_saved_is_the_recipe(tmp_path):
    followed = recipe.load("finetune-calvin-abc")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(followed.to_dict()))
    assert recipe.from_dict(yaml.safe_load((tmp_path / "recipe.yaml").read_text())) == followed
