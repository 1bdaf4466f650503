"""Videos and contact sheets of chosen chains: what both cameras saw, and beside it the frames that the policy
had predicted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from gr1_core import images
from gr1_core.calvin.environment import FRAMES_PER_SECOND
from gr1_core.eval.calvin import video
from gr1_core.eval.calvin.protocol import ChainJob, ChainOutcome, RecordedFrame
from gr1_core.eval.calvin.video import LINE, SIDE
from gr1_core.policy import Action, Observation, Policy

_PREDICT_EVERY = 3  # steps between two decoded predictions: they cost as much as the action
_SHEET_ROWS = 6
_INK, _PAPER = (38, 42, 48), (250, 250, 248)


class PredictionRecorder:
    """Keeps the predicted frames of recorded chains: give every action to `on_action`, then read `of`."""

    def __init__(self, future_steps: int):
        self.future_steps = future_steps
        self._frames: dict[int, dict[int, tuple[bytes, bytes]]] = defaultdict(dict)

    @classmethod
    def of_policy(cls, policy: Policy) -> PredictionRecorder:
        return cls(policy.config.future_steps)

    def on_action(self, job: ChainJob, step: int, _: Observation, action: Action) -> None:
        """step: of the chain, counted from 0."""
        if job.recorded and step % _PREDICT_EVERY == 0:
            future = action.future()
            frames = images.encode_jpeg(future.static), images.encode_jpeg(future.wrist)
            self._frames[job.number][step + self.future_steps] = frames

    def take_notes(self, job: ChainJob) -> tuple[int, dict[int, tuple[bytes, bytes]]]:
        """(number of the chain, its predicted frames); they are kept no longer."""
        return job.number, self._frames.pop(job.number, {})

    def add_notes(self, notes: tuple[int, dict[int, tuple[bytes, bytes]]]) -> None:
        """Adds what `take_notes` of another one gave."""
        number, frames = notes
        if frames:
            self._frames[number] = frames

    def of(self, number: int) -> dict[int, tuple[bytes, bytes]]:
        """{step of the chain that was predicted: (static, wrist) as JPEG}."""
        return self._frames.get(number, {})


def write_chain(
    outcome: ChainOutcome, predicted: Mapping[int, tuple[bytes, bytes]], folder: Path, renderer: str
) -> dict[str, str]:
    """Writes chain-<number>.mp4 and chain-<number>.png; returns their names."""
    name = f"chain-{outcome.job.number:04d}"
    video.write_mp4(folder / f"{name}.mp4", _video_frames(outcome, predicted, renderer), FRAMES_PER_SECOND)
    cv2.imwrite(str(folder / f"{name}.png"), _sheet(outcome, predicted)[:, :, ::-1])
    return {"video": f"{name}.mp4", "sheet": f"{name}.png"}


def _video_frames(outcome: ChainOutcome, predicted: Mapping[int, tuple[bytes, bytes]], renderer: str):
    shown = None
    for step, frame in enumerate(outcome.frames):
        shown = predicted.get(step, shown)
        row = [_enlarged(images.decode(frame.static)), _enlarged(images.decode(frame.wrist))]
        titles = ["static camera", "gripper camera"]
        if predicted:
            row += [_enlarged(images.decode(jpeg)) for jpeg in shown] if shown else [_empty(), _empty()]
            titles += ["static, as predicted", "gripper, as predicted"]
        image = np.concatenate(row, axis=1)
        top = np.full((LINE, image.shape[1], 3), _PAPER, np.uint8)
        for place, title in enumerate(titles):
            _write(top, title, place * SIDE + 6)
        yield np.concatenate([top, image, _caption(outcome, frame, image.shape[1], renderer)])


def _caption(outcome: ChainOutcome, frame: RecordedFrame, width: int, renderer: str) -> np.ndarray:
    job, place = outcome.job, frame.task
    caption = np.full((2 * LINE, width, 3), _PAPER, np.uint8)
    _write(caption[:LINE], f'{place + 1} of {len(job.tasks)}: "{job.instructions[place]}"', 6)
    _write(
        caption[LINE:],
        f"chain {job.number}, {job.tasks[place]}, step {frame.step}, {renderer}",
        6,
        scale=0.38,
    )
    return caption


def _sheet(outcome: ChainOutcome, predicted: Mapping[int, tuple[bytes, bytes]]) -> np.ndarray:
    """A row for each task: six moments of the static camera, with the predicted frames below."""
    rows = []
    for place in range(len(outcome.steps)):
        numbers = [number for number, frame in enumerate(outcome.frames) if frame.task == place]
        moments = [
            numbers[index] for index in np.linspace(0, len(numbers) - 1, _SHEET_ROWS).round().astype(int)
        ]
        if predicted:
            known = np.array([step for step in sorted(predicted) if step < len(outcome.frames)])
            moments = [int(known[np.abs(known - moment).argmin()]) for moment in moments]
        text = np.full((LINE, SIDE * _SHEET_ROWS, 3), _PAPER, np.uint8)
        how = (
            f"done in {outcome.steps[place]} steps"
            if place < outcome.done
            else f"not done in {outcome.steps[place]} steps"
        )
        _write(text, f'{outcome.job.tasks[place]}: "{outcome.job.instructions[place]}", {how}', 6)
        rows += [
            text,
            np.concatenate(
                [_enlarged(images.decode(outcome.frames[number].static)) for number in moments], axis=1
            ),
        ]
        if predicted:
            predictions = [predicted.get(number) for number in moments]
            rows.append(
                np.concatenate(
                    [_enlarged(images.decode(one[0])) if one else _empty() for one in predictions], axis=1
                )
            )
    return np.concatenate(rows)


def _enlarged(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def _empty() -> np.ndarray:
    return np.full((SIDE, SIDE, 3), 225, np.uint8)


def _write(strip: np.ndarray, text: str, x: int, scale: float = 0.45) -> None:
    cv2.putText(strip, text, (x, LINE - 7), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
