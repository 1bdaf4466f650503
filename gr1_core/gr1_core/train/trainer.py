"""The training loop, for one process or many (Accelerate). The same recipe gives the same batches, losses and
gradients.

All random numbers depend on the recipe's seed and the step alone, so a run that is resumed from any saved
state continues bit for bit.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from gr1_core.hub import reference as hub
from gr1_core.images import encode_png
from gr1_core.model import checkpoint
from gr1_core.train import cpu_tuning, evaluation, losses, prediction_grid
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.data import TrainingData
from gr1_core.train.device_batches import DeviceBatches
from gr1_core.train.input_pipeline import InputPipeline
from gr1_core.train.joint_videos import JointVideos
from gr1_core.train.learner import Learner, UpdateRecord
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe
from gr1_core.train.report import TrainingLog
from gr1_core.train.run_folder import RunFolder, TrainingError, writing
from gr1_core.train.signals import StopSignal

_WINDOWS_AT_ONCE = 64  # in an evaluation


@dataclass
class Progress:
    """How far a run is. recent f64[6]: losses and steps since the last evaluation; saved, so that a resumed
    run logs the same means.
    """

    step: int
    steps: int
    warmup: int
    recent: torch.Tensor


class Trainer:
    """Runs a recipe from `progress.step` on: updates, evaluations, saved states. `setup.prepare_run` makes
    one.

    held_pipeline: for the held-out windows; the training data's own if they are of the same dataset. log: of
    the main process alone. videos: learned from in the same steps; None: none.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        processes: Accelerator,
        data: TrainingData,
        schedule: BatchSchedule,
        learner: Learner,
        pipeline: InputPipeline,
        held_pipeline: InputPipeline,
        progress: Progress,
        log: TrainingLog | None,
        videos: JointVideos | None = None,
    ):
        self.recipe, self.folder, self.processes, self.data = recipe, folder, processes, data
        self.schedule, self.learner, self.progress, self.log = schedule, learner, progress, log
        self.pipeline, self.held_pipeline, self.videos = pipeline, held_pipeline, videos
        self._video_batches: DeviceBatches | None = None
        self.figures: dict = {}
        """The last evaluation's."""
        self.reads_late = processes.device.type == "cuda"
        """Whether an update's results are read after the next one is launched, so that the device never waits
        for the host.
        """
        self._unread: deque[UpdateRecord] = deque()
        self._waited_s = 0.0

    def close(self) -> None:
        """Ends the reports and the processes' connection."""
        if self.log:
            self.log.close()
        self.processes.end_training()

    def run(self, stop: StopSignal) -> int:
        """-> 0 when the run is finished, 128 + n when signal n ended it early (the state is saved). Raises
        TrainingError.
        """
        recipe, progress = self.recipe, self.progress
        if self.processes.is_main_process:
            self.folder.truncate_log(progress.step)
        if progress.step >= progress.steps:
            self._print(
                f"{self.folder.path}: finished at step {progress.step}; to train longer from its weights "
                "give "
                f"init={self.folder.path} out=NEW; --fresh starts again"
            )
            return 0
        with self.open_batches() as batches:
            while True:
                stopped = self.update(batches, stop)
                last = progress.step == progress.steps
                evaluated = last or progress.step % recipe.evaluation.every == 0
                saved = last or stopped or progress.step % recipe.save_every == 0
                if evaluated or saved:
                    stopped |= self._read_updates(0)
                if evaluated:
                    self._evaluate()
                if saved or stopped:
                    self._save_state()
                if evaluated or stopped:
                    self.save_checkpoint()
                if last or stopped:
                    break
                if self.log and evaluated:
                    self.log.restart_timing()
        if last:
            for line in evaluation.unlearned_frames(self.figures):
                self._print(line)
            return 0
        self._print(
            f"stopped after step {progress.step} of {progress.steps}, state saved: the same command "
            "continues it"
        )
        return 128 + (stop.signal or 15)

    @contextmanager
    def open_batches(self) -> Iterator[DeviceBatches]:
        """The batches from this step on, for `update`; those of the joint videos are opened with them."""
        step = self.progress.step
        with ExitStack() as opened:
            if self.videos:
                self._video_batches = opened.enter_context(self.videos.batches(step))
            own = self.pipeline.batches(self.data.train, self.schedule.micro_batches(step))
            yield opened.enter_context(own)

    def _print(self, text: str) -> None:
        if self.processes.is_main_process:
            print(text, flush=True)

    # One step

    def update(self, batches: DeviceBatches, stop: StopSignal) -> bool:
        """One optimizer step on one global batch -> whether any process was asked to stop. Raises
        TrainingError for NaN.
        """
        step, schedule = self.progress.step, self.schedule
        summed = self.learner.add_gradients(
            self._micro_batches(batches, step),
            len(schedule.video_windows) + (self.videos.number if self.videos else 0),
            self._counts(step),
            schedule.seed(step),
        )
        rate = self.recipe.learning_rate(step, self.progress.steps, self.progress.warmup)
        self._unread.append(self.learner.update(summed, step, rate, bool(stop.signal)))
        self.progress.step += 1
        self._waited_s = batches.waited_s + self.pipeline.waited_s
        return self._read_updates(1 if self.reads_late else 0)

    def _micro_batches(self, batches: DeviceBatches, step: int) -> Iterator[Inputs]:
        if self.videos:
            # First: the last micro-batch must reach all weights, and videos do not reach the action head.
            yield from self.videos.micro_batches(self._video_batches, step)
        changes = self.schedule.augmentations(step, self.pipeline.spec.augment)
        for change, video_windows in zip(changes, self.schedule.video_windows):
            yield self.pipeline.inputs(next(batches), change, video_windows)

    def _counts(self, step: int) -> tuple[float, float, float]:
        """Valid steps, supervised future frames and those of the joint videos of the global batch, each with
        its weight.
        """
        numbers, windows = self.schedule.batch(step), self.data.train
        frames = windows.counts(numbers[: self.recipe.video_windows])[1]
        return windows.counts(numbers)[0], frames, self.videos.count(step) if self.videos else 0

    def _read_updates(self, keep: int) -> bool:
        """Reads all updates' results but the last `keep` -> whether any process was asked to stop."""
        stopped = False
        while len(self._unread) > keep:
            record = self._unread.popleft()
            sums, stop, norm, norms = record.read()
            stopped |= bool(stop)
            means = self._means(sums, self._counts(record.step))
            if not np.isfinite([norm, *means.values()]).all():
                self._fail(record.step, means, norm, norms)
            self.progress.recent += torch.tensor(
                [*(means.get(name, 0.0) for name in losses.NAMES), 1.0], dtype=torch.float64
            )
            if self.log:
                self.log.add_step(record.step + 1, means, record.learning_rate, self._waited_s)
        return stopped

    def _means(self, sums: list[float], counts: tuple[float, float, float]) -> dict[str, float]:
        """Mean losses per supervised step, of the losses that this recipe has."""
        means = {}
        for name, value in zip(losses.NAMES, sums):
            action = name in ("arm", "gripper")
            if ("action" if action else name) in self.recipe.targets:
                means[name] = value / max(1, counts[0 if action else 1])
            if name == "videos" and self.videos:
                means[name] = value / max(1, counts[2])
        return means

    def _fail(self, step: int, means: dict[str, float], norm: float, norms: np.ndarray) -> None:
        """Reports a loss or gradient that is not finite and raises; neither weights nor the last state were
        changed by it.
        """
        weights = self.learner.broken_weights()
        gradients = [name for name, value in zip(self.learner.trained, norms) if not np.isfinite(value)]
        report = {
            "step": step,
            "losses": {name: str(value) for name, value in means.items()},
            "gradient_norm": str(norm),
            "windows": self.schedule.batch(step).tolist(),
            "gradients": gradients,
            "weights": weights,
        }
        if self.processes.is_main_process:
            self.folder.write_file("failure.json", json.dumps(report, indent=1) + "\n")
        listed = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        broken = f"weights {checkpoint.first_few(weights)}" if weights else ""
        broken = broken or f"gradients of {checkpoint.first_few(gradients) or 'no parameter, only losses'}"
        raise TrainingError(
            f"step {step}: {listed}, gradient norm {norm:.4g}; not finite are the {broken}. The batch is "
            "named in "
            f"{self.folder.path / 'failure.json'}. The last state is good: the same command continues from "
            "it; "
            "try a smaller optimizer.lr"
        )

    # Evaluations and files

    def _evaluate(self) -> None:
        held, step = self.data.held, self.progress.step
        *sums, steps = self.progress.recent.tolist()
        means = self._means([value / max(1.0, steps) for value in sums], (1, 1, 1))
        self.progress.recent.zero_()
        entry, image = {"step": step, "epoch": step / self.schedule.per_epoch, "train": means}, None
        if held is not None:
            self.figures, image = self._held_out_figures()
            entry["held_out"] = self.figures
            broken = [name for name in losses.NAMES if not np.isfinite(self.figures.get(name, 0.0))]
            if broken:
                raise TrainingError(
                    f"step {step}: the held-out losses {', '.join(broken)} are not finite, while those of "
                    "training are: look for "
                    f"unusual values in the held-out episodes of {held.dataset.root}. The last state is good"
                )
        if self.log:
            if image is not None:
                self.folder.write_file(f"images/{step:08d}.png", encode_png(image))
            self.log.add_evaluation(entry, image)

    def _held_out_figures(self) -> tuple[dict, np.ndarray | None]:
        """The figures of all processes, and on the main process an image of predicted frames."""
        recipe, held, objective = self.recipe, self.data.held, self.learner.objective
        processes, image = self.processes, None
        size = recipe.micro_batch if isinstance(recipe.micro_batch, int) else recipe.batch
        batches = evaluation.rank_batches(
            evaluation.evenly_spaced(held, recipe.evaluation.windows),
            min(size, _WINDOWS_AT_ONCE),
            processes.process_index,
            processes.num_processes,
        )
        with self.learner.averaged(), cpu_tuning.attention(processes.device):
            figures = evaluation.evaluate_windows(
                objective, self.held_pipeline, held, batches, self.data.mean_action, self._add_up
            )
            if processes.is_main_process and recipe.evaluation.images:
                numbers = evaluation.evenly_spaced(held, recipe.evaluation.images)
                image = prediction_grid.draw_predictions(objective, self.held_pipeline, held, numbers)
        return figures, image

    def _add_up(self, sums: Counter) -> Counter:
        if self.processes.num_processes == 1:
            return sums
        return evaluation.add_counters(gather_object([sums]))

    def _save_state(self) -> None:
        step = self.progress.step
        if broken := self.learner.broken_weights():
            raise TrainingError(
                f"step {step}: {checkpoint.first_few(broken)} became NaN or infinite; the state before is "
                "kept"
            )
        if self.processes.is_main_process:
            tensors = {"recent": self.progress.recent, "micro_batch": torch.tensor(self.schedule.micro_batch)}
            self.folder.save_state(step, tensors | self.learner.state())
        self.processes.wait_for_everyone()

    def save_checkpoint(self) -> None:
        """Writes the checkpoint to deploy, with the averaged weights if there are any."""
        if not self.processes.is_main_process:
            return
        recipe, model = self.recipe, self.learner.model
        record = {
            "stage": recipe.stage,
            "recipe": recipe.to_dict(),
            "step": self.progress.step,
            "steps": self.progress.steps,
            "data": self.data.to_dict(),
            "trained": list(self.learner.trained),
            "metrics": self.figures,
        }
        with self.learner.averaged(), writing(self.folder.path):
            tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
            rig = self.data.train.dataset.rig
            rig = rig and rig.with_cameras(recipe.roles)
            checkpoint.save(self.folder.path, tensors, model.config, rig, record)
            for source in (recipe.init, recipe.clip):
                if source is not None and (found := hub.folder(source, hub.MODEL)).is_dir():
                    checkpoint.copy_tokenizer(found, self.folder.path)
