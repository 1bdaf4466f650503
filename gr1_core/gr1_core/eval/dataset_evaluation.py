"""`gr1 evaluate data`: a checkpoint's losses and action errors on the episodes of a dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from gr1_core.data.cache import fingerprint
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows
from gr1_core.model import checkpoint, factory
from gr1_core.model.gr1 import GR1, TARGETS
from gr1_core.model.precision import best_precision
from gr1_core.plural import plural
from gr1_core.rig import Rig
from gr1_core.train import cpu_tuning, evaluation
from gr1_core.train.input_pipeline import InputPipeline, InputSpec
from gr1_core.train.losses import Objective
from gr1_core.train.run_folder import TrainingError

_BATCH_SIZE = 32
_COLUMN_TITLES = {"action_mm": "mm", "action_deg": "deg", "gripper_accuracy": "gripper accuracy"}


def run(folder: Path, data: Path, episodes: str | None, most: int, untrained: bool) -> dict:
    """Measures and prints; the last line is the JSON document that is returned.

    episodes: "held-out" (those of the checkpoint's training.json), "all", or None: held-out if they are
    known. most: at most so many windows. untrained: also a model of the same sizes with random weights.
    Raises TrainingError, DatasetError, RigError or CheckpointError.
    """
    dataset, training, roles = Dataset(data), checkpoint.read_training(folder) or {}, ("static",)
    video = training.get("stage") == "pretrain"
    # A checkpoint that can act is loaded as `gr1 up` loads it, with its rig.
    model = checkpoint.load_model(folder) if video else checkpoint.load(folder)[0]
    if not video:
        if dataset.kind != "demonstrations":
            raise TrainingError(
                f"{data} holds videos without states and actions: evaluate {folder} on demonstrations"
            )
        own = Rig.load(folder / checkpoint.RIG)
        own.require_same(dataset.rig.with_cameras(own.cameras), str(data))
        roles = tuple(own.cameras)
    chosen, which = _episodes(dataset, training, episodes, folder)
    hz = training["recipe"]["hz"] if video else None
    config = model.config
    windows = Windows(dataset, chosen, config.window, config.future_steps, hz, config.chunk)
    models = {"": model} | ({"untrained": _untrained(model)} if untrained else {})
    results = {label: _measure(each, windows, roles, video, training, most) for label, each in models.items()}
    result = results[""] | {"episodes": which} | ({"untrained": results["untrained"]} if untrained else {})
    _print_table(folder, data, len(windows.episodes), results)
    print(json.dumps(result))
    return result


def _episodes(
    dataset: Dataset, training: dict, wanted: str | None, folder: Path
) -> tuple[list[int] | None, str]:
    held = (training.get("data") or {}).get("held_out")
    known = held is not None and held["fingerprint"] == fingerprint(dataset.root)
    if wanted == "held-out" and not known:
        raise TrainingError(
            f"{folder} was not trained with held-out episodes of {dataset.root}: evaluate it on --episodes "
            "all"
        )
    return (held["episodes"], "held-out") if known and wanted != "all" else (None, "all")


def _untrained(model: GR1) -> GR1:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return factory.new_model(model.config).eval()


def _measure(
    model: GR1, windows: Windows, roles: tuple[str, ...], video: bool, training: dict, most: int
) -> dict:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = best_precision(device)
    cpu_tuning.configure(device, None, precision)
    bf16 = precision == "bf16"
    # Only what the checkpoint was trained to predict.
    weights = (training.get("recipe") or {}).get("loss") or {}
    trained = [name for name in TARGETS if name == "action" or weights.get(name, 1)]
    trained = [name for name in trained if name == "action" or name in roles]
    targets = ("static",) if video else tuple(trained) if model.config.predicts_frames else ("action",)
    future = tuple(role for role in roles if role in targets)
    model = model.to(device)
    # Changes are added to images, and a conditioned encoder reads the instruction: both need images, not an
    # encoder's tokens.
    needs_images = model.config.vision_reads_text or (bool(future) and model.config.frames == "change")
    spec = InputSpec(roles, future, robot=not video, frozen=not needs_images)
    pipeline = InputPipeline(model, windows.dataset, spec, device, bf16)
    mean = None
    if not video:
        mean = (training.get("data") or {}).get("mean_action")
        rows = windows.dataset.episodes[windows.episodes].tolist()
        mean = (
            np.concatenate([windows.dataset.action[a:b] for a, b in rows]).mean(0)
            if mean is None
            else np.array(mean)
        )
    numbers = evaluation.evenly_spaced(windows, most)
    with cpu_tuning.attention(device):
        return evaluation.evaluate_windows(
            Objective(model, targets, bf16, _absolute(model, training)),
            pipeline,
            windows,
            evaluation.rank_batches(numbers, _BATCH_SIZE),
            mean,
        )


def _absolute(model: GR1, training: dict) -> bool:
    """The error of frames that the checkpoint was trained with."""
    kind = (training.get("recipe") or {}).get("frame_error", "auto")
    return kind == "absolute" or (kind == "auto" and model.config.frames == "change")


def _print_table(folder: Path, data: Path, episodes: int, results: dict[str, dict]) -> None:
    columns = [key for key, value in results[""].items() if isinstance(value, float)]
    windows = plural(results[""]["windows"], "window")
    table = Table(title=f"{folder} on {plural(episodes, 'episode')} of {data}, {windows}")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(_COLUMN_TITLES.get(column, column), justify="right", no_wrap=True)
    rows = {"trained": results[""]} | ({"untrained": results["untrained"]} if "untrained" in results else {})
    rows |= {name.replace("_", " "): row for name, row in results[""].get("baselines", {}).items()}
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.3f}" if column in row else "" for column in columns))
    Console(width=None if sys.stdout.isatty() else 100).print(table)
