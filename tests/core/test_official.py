"""`gr1 import-official` takes every published layout, and refuses what it does not know by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gr1_core.cli import main
from gr1_core.model.checkpoint import CheckpointError
from gr1_core.model.official import import_official, initial_weights, read_config

from . import golden

SNAPSHOT = golden.FOLDER / "tiny_snapshot.pt"


def snapshot() -> dict[str, torch.Tensor]:
    return torch.load(SNAPSHOT, weights_only=True)["state_dict"]


def without(*prefixes: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in snapshot().items() if not key.startswith(prefixes)}


def saved(path, state, name="state_dict"):
    torch.save({name: state}, path)
    return path


def same(folder, other) -> bool:
    ours, theirs = load_file(folder / "model.safetensors"), load_file(other / "model.safetensors")
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_mae_may_lie_in_its_own_file(tmp_path, tiny, tiny_config):
    own = torch.load(golden.FOLDER / "tiny_mae.pt", weights_only=True)["model"]
    # The published `full` file also holds MAE's decoder, whose names are names of GR-1 too.
    mae = saved(
        tmp_path / "mae.pth",
        own | {"mask_token": torch.zeros(3), "decoder_pos_embed": torch.zeros(3)},
        "model",
    )
    import_official(
        saved(tmp_path / "s.pt", without("model_mae.")), tmp_path / "out", mae=mae, config=tiny_config
    )
    assert same(tmp_path / "out", tiny)


def test_the_snapshots_own_encoder_wins_over_the_file(tmp_path, tiny, tiny_config):
    other = {
        key: value + 1
        for key, value in torch.load(golden.FOLDER / "tiny_mae.pt", weights_only=True)["model"].items()
    }
    import_official(
        SNAPSHOT, tmp_path / "out", mae=saved(tmp_path / "mae.pth", other, "model"), config=tiny_config
    )
    assert same(tmp_path / "out", tiny)


def test_clip_may_be_openais_state_dict(tmp_path, tiny, tiny_config):
    clip = {
        key.removeprefix("model_clip."): value
        for key, value in snapshot().items()
        if key.startswith("model_clip.")
    }
    clip |= {
        "input_resolution": torch.tensor(224),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    torch.save(clip, tmp_path / "clip.pt")
    import_official(
        saved(tmp_path / "s.pt", without("model_clip.")),
        tmp_path / "out",
        clip=tmp_path / "clip.pt",
        config=tiny_config,
    )
    assert same(tmp_path / "out", tiny)


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates the format that OpenAI published in
def test_clip_may_be_openais_torchscript_archive(tmp_path, tiny, tiny_config):
    root = torch.nn.Module()
    for key, value in snapshot().items():
        if key.startswith("model_clip."):
            module, *path = root, *key.removeprefix("model_clip.").split(".")
            for part in path[:-1]:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_parameter(path[-1], torch.nn.Parameter(value.float()))
    torch.jit.save(torch.jit.script(root), tmp_path / "ViT-B-32.pt")
    import_official(
        saved(tmp_path / "s.pt", without("model_clip.")),
        tmp_path / "out",
        clip=tmp_path / "ViT-B-32.pt",
        config=tiny_config,
    )
    assert same(tmp_path / "out", tiny)


def test_clip_may_be_transformers_folder_and_its_tokenizer_comes_along(tmp_path, tiny, tiny_config):
    prefix = "text.clip."
    weights = load_file(tiny / "model.safetensors")
    folder = tmp_path / "clip"
    folder.mkdir()
    clip = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    clip |= {"logit_scale": weights["text.logit_scale"], "vision_model.post_layernorm.weight": torch.zeros(3)}
    save_file(clip, folder / "model.safetensors")
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    import_official(
        saved(tmp_path / "s.pt", without("model_clip.")), tmp_path / "out", clip=folder, config=tiny_config
    )
    assert same(tmp_path / "out", tiny)
    assert (tmp_path / "out" / "vocab.json").read_text() == "{}"


def test_half_precision_data_parallel_and_bufferless_snapshots_are_taken(tmp_path, tiny, tiny_config):
    state = {
        f"module.{key}": value
        for key, value in snapshot().items()
        if not key.endswith((".attn.bias", ".masked_bias", "wte.weight"))
    }
    import_official(saved(tmp_path / "s.pt", state), tmp_path / "out", config=tiny_config)
    ours, theirs = load_file(tmp_path / "out" / "model.safetensors"), load_file(tiny / "model.safetensors")
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == ["transformer.wte"]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda state: state.pop("pred_arm_act.weight"), "missing: pred_arm_act.weight"),
        (lambda state: state.update(extra=torch.zeros(2)), "unknown: extra"),
        (
            lambda state: state.update({"embed_ln.bias": torch.zeros(5)}),
            r"embed_norm.bias is \[5\], the configuration says \[48\]",
        ),
        (
            lambda state: state["embed_ln.bias"].fill_(float("nan")),
            "NaN or infinite values in embed_norm.bias",
        ),
        (
            lambda state: [state.pop(key) for key in list(state) if key.startswith("model_clip.")],
            "give its file with --clip",
        ),
    ],
)
def test_a_wrong_snapshot_is_refused_by_name(tmp_path, tiny_config, change, said):
    state = snapshot()
    change(state)
    with pytest.raises(CheckpointError, match=said):
        import_official(saved(tmp_path / "s.pt", state), tmp_path / "out", config=tiny_config)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_wrong_size_is_refused_and_the_remedy_named(tmp_path, capsys):
    assert main(["import-official", "--snapshot", str(SNAPSHOT), "--out", str(tmp_path / "out")]) == 1
    assert "--config" in capsys.readouterr().err


def test_files_that_are_no_weights_are_refused_and_no_code_in_them_runs(tmp_path, tiny_config):
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"state_dict": {"a": Evil(str(tmp_path / "ran"))}}, tmp_path / "evil.pt")
    for name in ("text.pt", "evil.pt"):
        with pytest.raises(CheckpointError, match=name):
            import_official(tmp_path / name, tmp_path / "out", config=tiny_config)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CheckpointError, match="no file"):
        import_official(tmp_path / "nowhere.pt", tmp_path / "out", config=tiny_config)


def test_a_checkpoint_is_not_overwritten(tiny, tiny_config):
    with pytest.raises(CheckpointError, match="already"):
        import_official(SNAPSHOT, tiny, config=tiny_config)


def test_another_activation_is_refused(tmp_path):
    (tmp_path / "c.json").write_text(
        json.dumps(golden.RECORD["config"] | {"activation_function": "gelu_new"})
    )
    with pytest.raises(CheckpointError, match="gelu_new"):
        read_config(tmp_path / "c.json")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


PREFIXES = ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "model._orig_mod."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_prefixes_of_trainers_are_taken_off(tmp_path, tiny, tiny_config, prefix):
    state = {prefix + key: value for key, value in snapshot().items()}
    import_official(saved(tmp_path / "s.pt", state), tmp_path / "out", config=tiny_config)
    assert same(tmp_path / "out", tiny)


def test_a_compiled_part_of_a_snapshot_is_taken(tmp_path, tiny, tiny_config):
    state = {key.replace("model_mae.", "model_mae._orig_mod."): value for key, value in snapshot().items()}
    import_official(saved(tmp_path / "s.pt", state), tmp_path / "out", config=tiny_config)
    assert same(tmp_path / "out", tiny)


def test_two_names_of_one_tensor_are_refused(tmp_path, tiny_config):
    state = snapshot() | {"module.mask_token": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="mask_token and module.mask_token are one tensor's name"):
        import_official(saved(tmp_path / "s.pt", state), tmp_path / "out", config=tiny_config)


def test_a_git_lfs_pointer_is_named(tmp_path, tiny_config, tiny):
    pointer = tmp_path / "s.pt"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        import_official(pointer, tmp_path / "out", config=tiny_config)


def test_a_run_begins_with_a_snapshot_of_gr1(tmp_path, tiny_config, tiny):
    found = initial_weights(SNAPSHOT, read_config(tiny_config))
    right = load_file(tiny / "model.safetensors")
    assert found.keys() == right.keys() and all(torch.equal(found[key], right[key]) for key in right)


def test_a_run_begins_with_a_snapshot_of_gr_mg(tmp_path, tiny_config, tiny):
    """As Lightning saves it: CLIP under another name, another action head, goal images."""
    state = {
        f"model.{key.replace('model_clip.', 'text_encoder.')}": value
        for key, value in snapshot().items()
        if not key.startswith(("pred_act_mlps.", "model_mae."))
    }
    state |= {
        "model.embed_goal_image.weight": torch.zeros(4, 4),
        "model.pred_arm_act.weight": torch.zeros(6, 8),
    }
    state |= {
        "model.decode_action.0.norm1.weight": torch.zeros(8),
        "model.progress_queries.weight": torch.zeros(1, 4),
    }
    path, config = saved(tmp_path / "mg.ckpt", state), read_config(tiny_config)
    with pytest.raises(CheckpointError, match="does not hold the image encoder .*mae=FILE"):
        initial_weights(path, config)
    found = initial_weights(path, config, mae=golden.FOLDER / "tiny_mae.pt")
    right = load_file(tiny / "model.safetensors")
    assert sorted(right.keys() - found.keys()) == sorted(
        name for name in right if name.startswith(("action_head.", "query.action"))
    )
    assert all(torch.equal(found[key], right[key]) for key in found)
    with pytest.raises(CheckpointError, match="1 unknown: embed_else.weight"):
        initial_weights(saved(tmp_path / "s.pt", snapshot() | {"embed_else.weight": torch.zeros(1)}), config)
