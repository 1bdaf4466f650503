"""The cards (README.md) of what is pushed, out of its folder's files. They say only what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from gr1_core.data.dataset import Dataset
from gr1_core.hub.reference import Reference
from gr1_core.model import checkpoint
from gr1_core.model.config import GR1Config
from gr1_core.rig import Rig

REPOSITORY_TAGS = ("robotics", "lerobot", "gr1")
_EVALUATION = "evaluation.json"


def checkpoint_card(folder: Path, reference: Reference, licence: str = "") -> str:
    """The model card of a checkpoint folder. Raises CheckpointError, ConfigError or RigError.

    licence: its SPDX name; empty: the card says nothing.
    """
    config, training = GR1Config.load(folder / checkpoint.CONFIG), checkpoint.read_training(folder)
    rig = Rig.load(folder / checkpoint.RIG) if (folder / checkpoint.RIG).is_file() else None
    acts = rig is not None and (training or {}).get("stage") != "pretrain"
    head = _head({"library_name": "lerobot", "pipeline_tag": "robotics"}, licence)
    parts = [head, f"# {reference.repository.split('/')[1]}", _what(config, acts)]
    if acts:
        parts.append(_use(reference))
    parts.append(_table("Model", _sizes(config)))
    if rig is not None:
        parts.append(_table("Rig", _rig_rows(rig)))
    if training is not None:
        parts.append(_table("Training", _training_rows(training)))
    parts.append(_evaluation(folder))
    return "\n\n".join(filter(None, parts)) + "\n"


def dataset_card(folder: Path, reference: Reference, licence: str = "") -> str:
    """The card of a dataset folder, with the table that the hub's viewer shows. Raises DatasetError."""
    dataset = Dataset(folder)
    viewer = {"configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}]}
    head = _head({"task_categories": ["robotics"]} | viewer, licence)
    rows = {
        "kind": dataset.kind,
        "episodes": len(dataset.episodes),
        "frames": f"{dataset.length} at {dataset.fps:g} Hz",
        "instructions": len(dataset.tasks),
        "cameras": ", ".join(dataset.roles),
        "layout": "LeRobotDataset v3.0",
    }
    shown = "\n".join(f"- {task}" for task in dataset.tasks[:20])
    more = f"\n- and {len(dataset.tasks) - 20} more" if len(dataset.tasks) > 20 else ""
    use = f"""## Use
```
gr1 finetune finetune-small data={_dataset(reference)} out=runs/mine
gr1 pull {_dataset(reference)}
lerobot-train --dataset.repo_id={reference.repository} --policy.type=gr1 ...
```"""
    parts = [head, f"# {reference.repository.split('/')[1]}", use, _table("Content", rows)]
    if dataset.rig is not None:
        parts.append(_table("Rig", _rig_rows(dataset.rig)))
    parts.append(f"## Instructions\n{shown}{more}")
    return "\n\n".join(parts) + "\n"


def _head(fields: Mapping, licence: str) -> str:
    fields = dict(fields) | {"tags": list(REPOSITORY_TAGS)} | ({"license": licence} if licence else {})
    return f"---\n{yaml.safe_dump(fields, sort_keys=False)}---"


def _what(config: GR1Config, acts: bool) -> str:
    kind = {"gr1": "GR-1"}.get(config.policy, config.policy)
    if not acts:
        return f"A {kind} pre-trained on videos: weights to fine-tune from. It does not act."
    sees = "two cameras, the pose of the hand, the gripper's last command and an instruction in words"
    return f"A {kind} policy of the GR-1 stack for ROS 2. From {sees} it computes the hand's next motion."


def _use(reference: Reference) -> str:
    return f"""## Use
```
gr1 up --robot sim --checkpoint {reference}        # or a real rig; gr1 serve --checkpoint for another machine
gr1 pull {reference}
lerobot-eval --policy.path={reference.repository} --env.type=gr1_twin --env.task=open_drawer
```
The policy runs on the rig below only: cameras, units and rate are checked when it is loaded."""


def _sizes(config: GR1Config) -> dict:
    names = ("vision", "text", "image_size", "width", "layers", "window", "chunk", "future_steps")
    return {name: getattr(config, name) for name in names}


def _rig_rows(rig: Rig) -> dict:
    cameras = {
        f"{role} camera": f"{camera.width} x {camera.height}, crop {camera.crop}"
        for role, camera in rig.cameras.items()
    }
    return {"name": rig.name, "control rate": f"{rig.control_hz:g} Hz"} | cameras | {
        "unit of translation": f"{rig.action.translation_scale:g} m",
        "unit of rotation": f"{rig.action.rotation_scale:g} rad ({rig.action.rotation})",
    }  # fmt: skip


def _training_rows(training: Mapping) -> dict:
    recipe, data = training.get("recipe") or {}, (training.get("data") or {}).get("train") or {}
    rows = {
        "recipe": recipe.get("name"),
        "stage": training.get("stage"),
        "steps": training.get("step"),
        "batch": recipe.get("batch"),
        "windows": data.get("windows"),
        "fingerprint of the data": data.get("fingerprint"),
    }
    return {name: value for name, value in rows.items() if value is not None}


def _evaluation(folder: Path) -> str:
    """The suites of the folder's evaluation.json; empty where there is none."""
    try:
        suites = json.loads((folder / _EVALUATION).read_text())["suites"]
        rows = {
            name: f"{one['successes']} of {one['episodes']} (95 %: {one['low']:.0%} to {one['high']:.0%})"
            for name, one in suites.items()
            if "successes" in one
        }
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return _table("Successes in the simulated rig", rows)


def _table(title: str, rows: Mapping) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "| | |", "| --- | --- |", *lines])


def _dataset(reference: Reference) -> str:
    return f"hf://datasets/{reference.repository}"
