"""Plots of a replay: predicted against recorded actions, predicted against real frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from gr1_core.eval.replay import Replay
from gr1_core.rig import ROLES, Rig

RECORDED, PREDICTED = "#444444", "#d1495b"
_TILE = 176


def plot_actions(replay: Replay, rig: Rig, path: Path) -> None:
    """Seven curves over time: three translations (mm per step), three rotations (degrees per step), the
    gripper.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(4, 2, sharex=True, gridspec_kw={"height_ratios": (3, 3, 3, 2)})
    units = [(f"d{axis} [mm/step]", 1e3 * rig.action.translation_scale) for axis in "xyz"]
    units += [(f"r{axis} [deg/step]", np.degrees(rig.action.rotation_scale)) for axis in "xyz"]
    for index, (label, scale) in enumerate(units):
        axis = axes[index % 3, index // 3]
        axis.plot(replay.seconds, replay.recorded[:, index] * scale, color=RECORDED, lw=1.6, label="recorded")
        axis.plot(
            replay.seconds, replay.predicted[:, index] * scale, color=PREDICTED, lw=1.2, label="predicted"
        )
        axis.set_ylabel(label)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, -1.0), max(high, 1.0))  # so that a curve of noise looks flat
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    gripper, pace = axes[3]
    gripper.step(replay.seconds, replay.recorded[:, 6] > 0, color=RECORDED, lw=1.6, where="post")
    gripper.plot(
        replay.seconds, 1 / (1 + np.exp(-np.clip(replay.gripper_logit, -30, 30))), color=PREDICTED, lw=1.2
    )
    gripper.set(ylabel="gripper open", ylim=(-0.1, 1.1), xlabel="seconds")
    pace.plot(replay.seconds, replay.step_ms, color=PREDICTED, lw=1.0)
    pace.axhline(1e3 * rig.period, color=RECORDED, lw=0.8, ls=":")
    pace.set(ylabel="step [ms]", xlabel="seconds", ylim=(0, None))
    for axis in (gripper, pace):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=2, loc="outside lower center")
    mm, degrees = 1e3 * replay.translation_error(rig).mean(), np.degrees(replay.rotation_error(rig)).mean()
    agrees = 100 * replay.gripper_agrees.mean()
    figure.suptitle(
        f'{replay.name}: "{replay.instruction}"\n'
        f"mean error {mm:.1f} mm and {degrees:.2f} deg per step, gripper {agrees:.0f} %"
    )
    figure.savefig(path, dpi=100)


def plot_frames(replay: Replay, path: Path) -> None:
    """A column per moment; three rows per camera: current, predicted and real future frame."""
    figure = Figure(figsize=(2 + 1.7 * len(replay.comparisons), 10.6), layout="constrained")
    shown = replay.comparisons[0].frames if replay.comparisons else ROLES
    rows = [(role, kind) for role in ROLES if role in shown for kind in range(3)]
    axes = figure.subplots(len(rows), len(replay.comparisons), squeeze=False)
    for row, (role, kind) in enumerate(rows):
        for column, comparison in enumerate(replay.comparisons):
            axis = axes[row, column]
            axis.imshow(
                cv2.resize(comparison.frames[role][kind], (_TILE, _TILE), interpolation=cv2.INTER_AREA)
            )
            axis.set(xticks=[], yticks=[])
            if not row:
                axis.set_title(f"{comparison.seconds:.1f} s", fontsize=10)
        axes[row, 0].set_ylabel(f"{role}\n{('current', 'predicted', 'real future')[kind]}", fontsize=9)
    figure.suptitle(f'{replay.name}: "{replay.instruction}"')
    figure.savefig(path, dpi=100)
