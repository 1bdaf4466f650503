"""Import of ByteDance's snapshots (bytedance/GR-1, bytedance/GR-MG) into a checkpoint folder or a run.

A snapshot is a pickle with `state_dict`; CLIP's and the MAE's weights lie in it (model_clip.*, model_mae.*)
or in separate files. Those of the snapshot take precedence, as in the published loader. Every key is taken
over, known to be unused, or refused by name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from torch import Tensor

from gr1_core.model import checkpoint
from gr1_core.model.checkpoint import CheckpointError, first_few
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.model.decoder import sin_cos_positions
from gr1_core.model.weight_files import read_weights, without_prefixes
from gr1_core.rig import Rig

_CLIP_LAYER = "text.clip.text_model.encoder.layers.{}."
# Ours -> theirs, for what is renamed as a whole. {} stands for a layer's number.
_TOP = {
    "transformer.wte": "transformer.wte.weight",
    "transformer.norm.*": "transformer.ln_f.*",
    "embed_arm.*": "embed_arm_state.*",
    "embed_gripper.*": "embed_gripper_state.*",
    "embed_state.*": "embed_state.*",
    "embed_language.*": "embed_lang.*",
    "embed_patches.static.*": "embed_patch.*",
    "embed_patches.wrist.*": "embed_hand_patch.*",
    "embed_cls.static.*": "embed_img.*",
    "embed_cls.wrist.*": "embed_hand_img.*",
    "embed_time": "embed_timestep.weight",
    "embed_norm.*": "embed_ln.*",
    "query.action": "action_queries.weight",
    "query.static": "obs_queries.weight",
    "query.wrist": "obs_hand_queries.weight",
    "action_head.hidden_1.*": "pred_act_mlps.0.*",
    "action_head.hidden_2.*": "pred_act_mlps.1.*",
    "action_head.arm.*": "pred_arm_act.*",
    "action_head.gripper.*": "pred_gripper_act.*",
    "decoder.embed.*": "decoder_embed.*",
    "decoder.mask_token": "mask_token",
    "decoder.pos_embed": "decoder_pos_embed",
    "decoder.blocks.*": "decoder_blocks.*",
    "decoder.norm.*": "decoder_norm.*",
    "decoder.pred.*": "decoder_pred.*",
    "resampler.latents": "perceiver_resampler.latents",
    "resampler.media_pos_emb": "perceiver_resampler.media_pos_emb",
    "resampler.norm.*": "perceiver_resampler.norm.*",
    "resampler.layers.{}.0.*": "perceiver_resampler.layers.{}.0.*",
    "resampler.layers.{}.1.norm.*": "perceiver_resampler.layers.{}.1.0.*",
    "resampler.layers.{}.1.up.*": "perceiver_resampler.layers.{}.1.1.*",
    "resampler.layers.{}.1.down.*": "perceiver_resampler.layers.{}.1.3.*",
    "transformer.blocks.{}.norm_1.*": "transformer.h.{}.ln_1.*",
    "transformer.blocks.{}.norm_2.*": "transformer.h.{}.ln_2.*",
    "vision.*": "model_mae.*",
    "text.logit_scale": "model_clip.logit_scale",
    "text.clip.text_model.embeddings.token_embedding.weight": "model_clip.token_embedding.weight",
    "text.clip.text_model.embeddings.position_embedding.weight": "model_clip.positional_embedding",
    "text.clip.text_model.final_layer_norm.*": "model_clip.ln_final.*",
    "text.clip.text_model.encoder.layers.{}.layer_norm1.*": "model_clip.transformer.resblocks.{}.ln_1.*",
    "text.clip.text_model.encoder.layers.{}.layer_norm2.*": "model_clip.transformer.resblocks.{}.ln_2.*",
    "text.clip.text_model.encoder.layers.{}.mlp.fc1.*": "model_clip.transformer.resblocks.{}.mlp.c_fc.*",
    "text.clip.text_model.encoder.layers.{}.mlp.fc2.*": "model_clip.transformer.resblocks.{}.mlp.c_proj.*",
    _CLIP_LAYER + "self_attn.out_proj.*": "model_clip.transformer.resblocks.{}.attn.out_proj.*",
}
# GPT-2's Conv1D keeps its weights (in, out).
_TRANSPOSED = {
    "transformer.blocks.{}.to_out.*": "transformer.h.{}.attn.c_proj.*",
    "transformer.blocks.{}.up.*": "transformer.h.{}.mlp.c_fc.*",
    "transformer.blocks.{}.down.*": "transformer.h.{}.mlp.c_proj.*",
    "text.clip.text_projection.weight": "model_clip.text_projection",
}
# Parts of snapshots that nothing uses: GPT-2's mask buffers, positions that were commented out, CLIP's
# vision tower.
_UNUSED = re.compile(
    r"transformer\.h\.\d+\.attn\.(bias|masked_bias)|transformer\.wpe\.weight|model_clip\.(visual\..*|input_resolution|context_length|vocab_size)"
)

# What GR-MG (ByteDance 2024) has beside GR-1's parts, and its action head, which is another one.
_OF_GR_MG = re.compile(
    r"embed_goal_|embed_(arm|gripper)_action\.|embed_action\.|action_encoder_|encode_action\.|"
    r"pred_style_vector\.|embed_style_vector\.|proj_action_output_embed\.|decode_action\.|"
    r"action_mask_token|action_decoder_|pred_(arm|gripper)_act\.|action_queries\.|"
    r"progress_|proj_progress_|decode_progress\.|pred_progress\."
)


def import_official(
    snapshot: Path,
    out: Path,
    mae: Path | None = None,
    clip: Path | None = None,
    config: Path | None = None,
    rig: str = "calvin",
) -> GR1Config:
    """Writes the checkpoint folder `out`. config: in ByteDance's configs.json layout, None: the paper's
    sizes. Raises CheckpointError.
    """
    if (out / checkpoint.WEIGHTS).exists():
        raise CheckpointError(f"{out} holds a checkpoint already: give another --out, or remove it first")
    sizes = GR1Config.paper() if config is None else read_config(config)
    state = read_snapshot(snapshot)
    state = _with_encoders(state, snapshot, mae, clip, "--mae ", "--clip ")
    checkpoint.save(out, convert(state, sizes, str(snapshot)), sizes, Rig.load(rig))
    if clip is not None and clip.is_dir():
        checkpoint.copy_tokenizer(clip, out)
    return sizes


def read_snapshot(path: Path) -> dict[str, Tensor]:
    """A snapshot of GR-1 or GR-MG -> its tensors by GR-1's names, without the prefixes of trainers."""
    state = without_prefixes(read_weights(path, "state_dict"), path)
    return {re.sub(r"^text_encoder\.", "model_clip.", key): value for key, value in state.items()}


def initial_weights(
    snapshot: Path, config: GR1Config, mae: Path | None = None, clip: Path | None = None
) -> dict[str, Tensor]:
    """What a run can begin from: the tensors of a GR-1 or GR-MG snapshot that this configuration has, by our
    names, in float32.

    The action head of GR-MG is another one: it and the query of the action are left out, as are GR-MG's goal
    images and progress. mae, clip: files of encoders that the snapshot does not hold. Raises CheckpointError.
    """
    state = read_snapshot(snapshot)
    if any(key.startswith("embed_goal_image.") for key in state):
        state = {key: value for key, value in state.items() if not _OF_GR_MG.match(key)}
    state = _with_encoders(state, snapshot, mae, clip, "mae=", "clip=")
    present = {name for name in _expected(config) if _source(name)[0] in {*state, *_fixed(config)}}
    return convert(state, config, str(snapshot), only=present)


def read_encoders(mae: Path, clip: Path, config: GR1Config) -> dict[str, Tensor]:
    """MAE's and CLIP's published files -> our vision.* and text.*, in float32. Raises CheckpointError."""
    state = {
        f"model_mae.{key}": value for key, value in _encoder_only(read_weights(mae, "model")).items()
    } | _read_clip(clip)
    return convert(state, config, f"{mae} and {clip}", ("vision.", "text."))


def convert(
    state: dict[str, Tensor],
    config: GR1Config,
    where: str,
    prefixes: tuple[str, ...] = ("",),
    only: set[str] | None = None,
) -> dict[str, Tensor]:
    """GR-1's published state dict -> ours, in float32. prefixes, only: these parts or tensors of the model,
    and nothing else may be there.
    """
    expected = {
        name: shape
        for name, shape in _expected(config).items()
        if name.startswith(prefixes) and (only is None or name in only)
    }
    state = {key: value for key, value in state.items() if not _UNUSED.fullmatch(key)}
    needed = {_source(name)[0] for name in expected}
    state = {key: value for key, value in _fixed(config).items() if key in needed} | state
    weights, used, missing = {}, set(), {}
    for name in expected:
        source, pick = _source(name)
        if source not in state:
            missing[source] = True
            continue
        used.add(source)
        tensor = pick(state[source].float())
        # Leading axes of size one come and go between the two layouts.
        fits = tensor.shape != expected[name] and [n for n in tensor.shape if n > 1] == [
            n for n in expected[name] if n > 1
        ]
        weights[name] = (tensor.reshape(expected[name]) if fits else tensor).clone()
    unknown = sorted(set(state) - used)
    if missing or unknown:
        said = [
            f"{len(keys)} {what}: {first_few(keys)}"
            for what, keys in (("missing", missing), ("unknown", unknown))
            if keys
        ]
        what, hint = (
            ("not a GR-1", ". Another size needs --config") if prefixes == ("",) else ("not encoders", "")
        )
        raise CheckpointError(f"{where}: {what} of this configuration: {'; '.join(said)}{hint}")
    checkpoint.check_weights(weights, expected, where)
    return weights


def _expected(config: GR1Config) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            tensors = checkpoint.GR1(config).state_dict()
    except Exception as error:  # PyTorch and transformers raise anything for sizes that no tensor can have
        raise CheckpointError(
            f"no GR-1 has this configuration: {' '.join(str(error).split())[:200]}"
        ) from error
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_config(path: Path) -> GR1Config:
    """ByteDance's configs.json -> GR1Config. Its optional parts `clip` and `mae` give the sizes of those two;
    else the paper's.
    """
    try:
        raw = json.loads(Path(path).read_text())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(
            f"{path} is not in the layout of GR-1's configs.json: it holds {type(raw).__name__}"
        )
    clip, mae = raw.get("clip", {}), raw.get("mae", {})
    for name, part in (("clip", clip), ("mae", mae)):
        if not isinstance(part, dict):
            raise CheckpointError(f"{path}: {name} is {part!r}, expected keys and values")
    try:
        sizes = dict(
            width=raw["embed_dim"],
            layers=raw["n_layer"],
            heads=raw["n_head"],
            mlp_width=4 * raw["embed_dim"],
            dropout=raw["dropout"],
            window=raw["seq_len"],
            future_steps=raw.get("fwd_pred_next_n", 3),
            vision_width=raw["img_feat_dim"],
            text_dim=raw["lang_feat_dim"],
            latents=raw["resampler_num_latents"],
            resampler_layers=raw["resampler_depth"],
            resampler_heads=raw["resampler_heads"],
            resampler_head_dim=raw["resampler_dim_head"],
        )
        sizes |= {ours: clip[theirs] for ours, theirs in _CLIP_SIZES.items() if theirs in clip}
        sizes |= {ours: mae[theirs] for ours, theirs in _MAE_SIZES.items() if theirs in mae}
        if raw.get("activation_function", "relu") != "relu":
            raise CheckpointError(
                f"{path}: activation_function is {raw['activation_function']!r}, GR-1's published code has "
                "'relu'"
            )
        return GR1Config.from_dict(GR1Config.paper().to_dict() | sizes, str(path))
    except KeyError as error:
        raise CheckpointError(
            f"{path} is not in the layout of GR-1's configs.json: {error.args[0]} is missing"
        ) from error
    except TypeError as error:
        raise CheckpointError(
            f"{path}: embed_dim is {raw['embed_dim']!r}, expected a whole number"
        ) from error
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


_CLIP_SIZES = {
    "text_width": "transformer_width",
    "text_layers": "transformer_layers",
    "text_heads": "transformer_heads",
}
_MAE_SIZES = {"vision_layers": "depth", "vision_heads": "num_heads"}


def _source(name: str):
    """Our name -> their name, and what to do with their tensor."""
    if match := re.fullmatch(r"transformer\.blocks\.(\d+)\.to_(q|kv)\.(weight|bias)", name):
        layer, part, kind = match.groups()
        source = f"transformer.h.{layer}.attn.c_attn.{kind}"

        def pick(tensor: Tensor) -> Tensor:
            width = tensor.shape[-1] // 3
            tensor = tensor.T if tensor.ndim == 2 else tensor
            return tensor[:width] if part == "q" else tensor[width:]

        return source, pick
    if match := re.fullmatch(
        r"(text\.clip\.text_model\.encoder\.layers\.)(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name
    ):
        _, layer, part, kind = match.groups()
        return f"model_clip.transformer.resblocks.{layer}.attn.in_proj_{kind}", lambda tensor: tensor.chunk(
            3
        )["qkv".index(part)]
    for table, pick in (
        (_TOP, lambda tensor: tensor),
        (_TRANSPOSED, lambda tensor: tensor.T if tensor.ndim == 2 else tensor),
    ):
        for ours, theirs in table.items():
            if match := re.fullmatch(
                re.escape(ours).replace(r"\{\}", r"(?P<n>\d+)").replace(r"\*", r"(?P<rest>.+)"), name
            ):
                groups = match.groupdict()
                return theirs.replace("{}", groups.get("n") or "").replace(
                    "*", groups.get("rest") or ""
                ), pick
    raise AssertionError(f"no rule for {name}")


def _fixed(config: GR1Config) -> dict[str, Tensor]:
    """What need not be in a file: read by nothing, or a fixed table."""
    return {
        "transformer.wte.weight": torch.zeros(1, config.width),
        "model_clip.logit_scale": torch.zeros(()),
        "decoder_pos_embed": sin_cos_positions(config.width, config.grid)[None],
    }


def _with_encoders(
    state: dict[str, Tensor], snapshot: Path, mae: Path | None, clip: Path | None, mae_is: str, clip_is: str
) -> dict[str, Tensor]:
    """The snapshot with the encoders of separate files where it has none of its own."""
    if mae is not None:
        own = {f"model_mae.{key}": value for key, value in _encoder_only(read_weights(mae, "model")).items()}
        state = _combine(state, own, "model_mae.")
    if clip is not None:
        state = _combine(state, _read_clip(clip), "model_clip.")
    for prefix, option, what in (
        ("model_mae.", mae_is, "the image encoder"),
        ("model_clip.", clip_is, "the text encoder"),
    ):
        if not any(key.startswith(prefix) for key in state):
            raise CheckpointError(
                f"{snapshot} does not hold {what} ({prefix}*): give its file with {option}FILE"
            )
    return state


def _combine(state: dict[str, Tensor], own: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The snapshot's tensors win over those of a separate file."""
    return {key: value for key, value in own.items() if key.startswith(prefix)} | state


def _encoder_only(mae: dict[str, Tensor]) -> dict[str, Tensor]:
    """MAE's `full` and `visualize` files also hold its own decoder, which GR-1 does not use."""
    return {
        key: value for key, value in mae.items() if key != "mask_token" and not key.startswith("decoder_")
    }


def _read_clip(path: Path) -> dict[str, Tensor]:
    """CLIP's weights as model_clip.*: OpenAI's file (a TorchScript archive or a state dict), or transformers'
    folder or file.
    """
    if path.is_dir():
        files = [
            path / name for name in ("model.safetensors", "pytorch_model.bin") if (path / name).is_file()
        ]
        if not files:
            raise CheckpointError(f"{path} holds neither model.safetensors nor pytorch_model.bin")
        path = files[0]
    state = read_weights(path, "state_dict")
    if any(key.startswith("text_model.") for key in state):
        state = _from_transformers(state, path)
    return {f"model_clip.{key}": value for key, value in state.items()}


def _from_transformers(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """transformers' CLIP -> OpenAI's names (without the vision tower)."""
    ours = {
        name if name == "logit_scale" else f"text.clip.{name}": tensor
        for name, tensor in state.items()
        if not name.startswith(("vision_model.", "visual_projection.")) and not name.endswith("position_ids")
    }
    result, joined = {}, {}
    for name, tensor in ours.items():
        if name == "logit_scale":
            result[name] = tensor
            continue
        try:
            source = _source(name)[0].removeprefix("model_clip.")
        except AssertionError:
            raise CheckpointError(
                f"{path}: unknown key {name.removeprefix('text.clip.')} in CLIP's weights"
            ) from None
        if match := re.search(r"self_attn\.([qkv])_proj", name):
            joined.setdefault(source, {})[match[1]] = tensor
        else:
            result[source] = tensor.T if source == "text_projection" else tensor
    for source, parts in joined.items():
        if set(parts) != set("qkv"):
            raise CheckpointError(
                f"{path}: {source} has only the parts {', '.join(sorted(parts))} of q, k, v"
            )
        result[source] = torch.cat([parts[part] for part in "qkv"])
    return result
