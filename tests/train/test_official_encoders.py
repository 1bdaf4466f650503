"""mae= and clip=: the published files in their own formats, at the golden record's sizes."""

import json

import pytest
import torch

from gr1_core.model import checkpoint
from gr1_core.model.official import import_official, read_config
from gr1_core.train import weights
from gr1_core.train.recipe import RecipeError

from ..core import golden


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """MAE's file, CLIP's file, and the sizes; CLIP's weights are those that lie in the golden snapshot."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "configs.json").write_text(json.dumps(golden.RECORD["config"]))
    snapshot = torch.load(golden.FOLDER / "tiny_snapshot.pt", weights_only=True)["state_dict"]
    parts = {
        prefix: {key.removeprefix(prefix): value for key, value in snapshot.items() if key.startswith(prefix)}
        for prefix in ("model_clip.", "model_mae.")
    }
    torch.save(parts["model_clip."], folder / "clip.pt")
    torch.save({"model": parts["model_mae."]}, folder / "mae.pth")
    return folder


@pytest.fixture
def recipe(files, small_recipe):
    sizes = read_config(files / "configs.json").to_dict() | {"size": "demo"}

    def make(**changes):
        return small_recipe(
            **(
                {"encoders": "official", "mae": files / "mae.pth", "clip": files / "clip.pt", "model": sizes}
                | changes
            )
        )

    return make


def test_both_encoders_are_taken_over_and_nothing_else(files, recipe, tmp_path):
    import_official(golden.FOLDER / "tiny_snapshot.pt", tmp_path / "whole", config=files / "configs.json")
    expected = checkpoint.load_model(tmp_path / "whole").state_dict()
    model, report = weights.initial_model(recipe())
    ours = model.state_dict()
    assert set(report.taken_over) == {name for name in ours if name.startswith(("text.", "vision."))}
    assert all(torch.equal(ours[name], expected[name]) for name in report.taken_over)


def test_an_imported_checkpoint_is_taken_over_whole(files, recipe, tmp_path):
    import_official(golden.FOLDER / "tiny_snapshot.pt", tmp_path / "whole", config=files / "configs.json")
    _, report = weights.initial_model(recipe(init=tmp_path / "whole", mae="null", clip="null"))
    assert report.new == []


def test_files_in_each_others_place_are_refused(files, recipe):
    with pytest.raises(RecipeError, match="mae.pth does not hold"):
        weights.initial_model(recipe(mae=files / "clip.pt", clip=files / "mae.pth"))


def test_a_file_of_other_sizes_is_refused(recipe):
    with pytest.raises(RecipeError, match="model.size=demo"):
        weights.initial_model(recipe(**{"model.vision_layers": 1}))
