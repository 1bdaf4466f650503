"""The training loop, for one process or many (Accelerate): the same recipe gives the same batches, losses and gradients.

Everything random depends on the recipe's seed and the step alone, so a run that is resumed from the state of any step goes on as if
nothing had happened.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object
from torch import Tensor

from gr1_core.data.loader import Loader
from gr1_core.images import encode_png
from gr1_core.model import checkpoint
from gr1_core.policy import best_precision
from gr1_core.train import cpu_tuning, evaluation, losses, prediction_grid, state, weights
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.data import open_training_data
from gr1_core.train.input_pipeline import InputPipeline, InputSpec
from gr1_core.train.losses import Objective
from gr1_core.train.recipe import Recipe
from gr1_core.train.report import TrainingLog
from gr1_core.train.signals import StopSignal
from gr1_core.train.state import RunFolder, TrainingError

_EVALUATED_AT_ONCE = 64


def train(recipe: Recipe, fresh: bool = False) -> int:
    """Runs or resumes the recipe in its folder. -> 0 when it is finished, 128 + n when signal n ended it early (the state is saved).

    fresh: forget the run that the folder holds, once nothing stands in the way of the new one.
    Raises TrainingError, RecipeError, DatasetError, CheckpointError.
    """
    with StopSignal() as stop, RunFolder(recipe.out) as folder:
        trainer = Trainer(recipe, folder, fresh)
        try:
            return trainer.run(stop)
        finally:
            trainer.close()


class Trainer:
    """A run, ready to go on from where its folder says."""

    def __init__(self, recipe: Recipe, folder: RunFolder, fresh: bool = False):
        self.recipe, self.folder = recipe, folder
        self.folder.check(recipe)
        cpu = recipe.device == "cpu" or not torch.cuda.is_available()
        ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        self.accelerator = Accelerator(cpu=cpu, kwargs_handlers=[ddp])
        self.device, self.world = self.accelerator.device, self.accelerator.num_processes
        self.rank, self.main = self.accelerator.process_index, self.accelerator.is_main_process
        cpu_tuning.configure(self.device, recipe.threads)
        self.precision = best_precision(self.device) if recipe.precision == "auto" else recipe.precision

        self.data = open_training_data(recipe)
        self.order = BatchSchedule(recipe, self.data.starts, self.rank, self.world)
        # Of this process's share, which micro-batches do not cut then; None: all.
        self.pictured = len(range(self.rank, recipe.video_windows, self.world)) if recipe.video_share < 1 else None
        self.steps, self.warmup = recipe.schedule(self.order.per_epoch)
        if self.main:
            self.folder.hold()
        self.accelerator.wait_for_everyone()
        saved = None if fresh else self.folder.latest(recipe)
        self.step, tensors = saved or (0, None)
        self.resumed = saved is not None

        self.figures: dict = {}
        self.model, report = self._resumed() if self.resumed else weights.initial_model(recipe)
        self.trained = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self.average = (
            {name: value.detach().clone().to(self.device) for name, value in self.trained.items()}
            if recipe.optimizer.ema
            else {}
        )
        if self.main and not self.resumed:
            print(report, flush=True)
        self.objective = Objective(self.model.train(), recipe.targets, self.precision == "bf16")
        self.parallel = self.accelerator.prepare_model(self.objective)
        betas, decay = recipe.optimizer.betas, recipe.optimizer.weight_decay
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=recipe.optimizer.lr, betas=betas, weight_decay=decay, fused=True
        )
        # Losses and steps since the last evaluation; part of the state, so that a resumed run logs the same means.
        self.recent = torch.zeros(len(losses.NAMES) + 1, dtype=torch.float64)
        if tensors is not None:
            state.restore_tensors(tensors, self.model, self.optimizer, self.average, self.recent)

        self.feed = self.held_feed = self._feed(self.data.train)
        if self.data.held is not None and self.data.held.dataset is not self.data.train.dataset:
            self.held_feed = self._feed(self.data.held)
        # Only now: whatever can be wrong with the recipe, the data or the weights must leave an earlier run alone.
        if self.main and not self.resumed:
            if fresh:
                self.folder.clear()
            self.folder.begin(recipe, report.to_dict())
            self._save_checkpoint()
        self.progress = TrainingLog(self) if self.main else None

    def _resumed(self):
        """The model from the run's own checkpoint: what is frozen lies there, so the files that it began with are not needed again."""
        model = checkpoint.load_model(self.folder.path)
        for parameter in model.parameters():
            # A file's bytes lie where they lie in memory; products of them round otherwise than those of PyTorch's aligned memory.
            parameter.data = parameter.data.clone()
        weights.set_trained(model, self.recipe)
        return model, None

    def _feed(self, windows) -> InputPipeline:
        feed = InputPipeline(self.model, windows.dataset, InputSpec.of(self.recipe), self.device, self.precision == "bf16")
        feed.prepare()
        return feed

    def close(self) -> None:
        if self.progress:
            self.progress.close()
        self.accelerator.end_training()

    def run(self, stop: StopSignal) -> int:
        recipe = self.recipe
        if self.main:
            self.folder.cut_log(self.step)
        if self.step >= self.steps:
            self._say(
                f"{self.folder.path}: finished at step {self.step}; another run needs another out=DIR, or --fresh"
            )
            return 0
        with self.feed.loader(self.data.train, self.order.micro_batches(self.step)) as loader:
            while True:
                stopped = self._update(loader, stop)
                last = self.step == self.steps
                evaluated = last or self.step % recipe.evaluation.every == 0
                if evaluated:
                    self._evaluate()
                if last or stopped or self.step % recipe.save_every == 0:
                    self._save_state()
                if evaluated or stopped:
                    self._save_checkpoint()
                if last or stopped:
                    break
                if self.progress and evaluated:
                    self.progress.go_on()
        if last:
            return 0
        self._say(
            f"stopped after step {self.step} of {self.steps}, state saved: the same command goes on from here"
        )
        return 128 + (stop.signal or 15)

    def _say(self, text: str) -> None:
        if self.main:
            print(text, flush=True)

    # One step

    def _update(self, loader: Loader, stop: StopSignal) -> bool:
        """One step of the optimizer on one global batch. -> whether any process was asked to stop."""
        recipe, numbers = self.recipe, self.order.batch(self.step)
        windows = self.data.train
        counts = windows.counts(numbers)[0], windows.counts(numbers[: recipe.video_windows])[1]
        summed = self._gradients(loader, counts)
        norm = torch.nn.utils.get_total_norm([value.grad for value in self.trained.values()])
        values = torch.cat(
            [summed, torch.tensor([bool(stop.signal)], dtype=summed.dtype, device=self.device)]
        )
        if self.world > 1:
            values = self.accelerator.reduce(values, "sum")
        *sums, stopped = values.tolist()
        means = self._means(sums, counts)
        if not np.isfinite([float(norm), *means.values()]).all():
            self._fail(numbers, means, float(norm))
        torch.nn.utils.clip_grads_with_norm_(self.trained.values(), recipe.optimizer.clip_norm, norm)
        lr = recipe.learning_rate(self.step, self.steps, self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.average:
            # The first steps' weights are far from where the later ones are.
            decay = min(recipe.optimizer.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(
                list(self.average.values()), [value.detach() for value in self.trained.values()], 1 - decay
            )
        self.recent += torch.tensor(
            [*(means.get(name, 0.0) for name in losses.NAMES), 1.0], dtype=torch.float64
        )
        if self.progress:
            self.progress.step(means, lr, loader.waited_s + self.feed.waited_s)
        return stopped > 0

    def _gradients(self, loader: Loader, counts: tuple[int, int]) -> Tensor:
        """This process's part of the step's gradients -> sums of the losses in the order of losses.NAMES, f64."""
        summed = torch.zeros(len(losses.NAMES), dtype=torch.float64, device=self.device)
        torch.manual_seed(self.order.seed(self.step))
        changes = self.order.changes(self.step, self.feed.wants.change)
        for number, change in enumerate(changes):
            inputs = self.feed.inputs(next(loader), change, self.pictured)
            # Gradients are exchanged once, with the last part.
            alone = self.world > 1 and number < len(changes) - 1
            with (
                cpu_tuning.attention(self.device),
                self.accelerator.no_sync(self.parallel) if alone else nullcontext(),
            ):
                each = self.parallel(inputs)
                # Data-parallel training averages over processes, these losses are to be added.
                (self.world * losses.total(each, self.recipe.loss, counts)).backward()
            for name, value in each.items():
                summed[losses.NAMES.index(name)] += value.detach()
        return summed

    def _means(self, sums: list[float], counts: tuple[int, int]) -> dict[str, float]:
        """Of the losses that this recipe has."""
        means = {}
        for name, value in zip(losses.NAMES, sums):
            action = name in ("arm", "gripper")
            if ("action" if action else name) in self.recipe.targets:
                means[name] = value / max(1, counts[0 if action else 1])
        return means

    def _fail(self, numbers: np.ndarray, means: dict[str, float], norm: float) -> None:
        """A loss or gradient that is not finite: writes what is known and stops; the last state is not touched."""
        broken = [name for name, value in self.trained.items() if not torch.isfinite(value).all()]
        gradients = [name for name, value in self.trained.items() if not torch.isfinite(value.grad).all()]
        report = {
            "step": self.step, "losses": {name: str(value) for name, value in means.items()}, "gradient_norm": str(norm),
            "windows": numbers.tolist(), "gradients": gradients, "weights": broken,
        }  # fmt: skip
        if self.main:
            self.folder.write("failure.json", json.dumps(report, indent=1) + "\n")
        listed = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        where = (
            f"weights {checkpoint.first_few(broken)}" if broken else f"gradients of {checkpoint.first_few(gradients)}"
        )
        raise TrainingError(
            f"step {self.step}: {listed}, gradient norm {norm:.4g}; not finite are the {where}. The batch is named in "
            f"{self.folder.path / 'failure.json'}. The last state is good: the same command goes on from it; try a smaller optimizer.lr"
        )

    # Evaluations and files

    def _evaluate(self) -> None:
        recipe, held = self.recipe, self.data.held
        *sums, steps = self.recent.tolist()
        means = self._means([value / max(1.0, steps) for value in sums], (1, 1))
        self.recent.zero_()
        entry, image = {"step": self.step, "epoch": self.step / self.order.per_epoch, "train": means}, None
        if held is not None:
            numbers = evaluation.evenly_spaced(held, recipe.evaluation.windows)
            batches = evaluation.rank_batches(
                numbers, min(recipe.micro_batch or recipe.batch, _EVALUATED_AT_ONCE), self.rank, self.world
            )
            with self._averaged(), cpu_tuning.attention(self.device):
                self.figures = evaluation.evaluate_windows(
                    self.objective, self.held_feed, held, batches, self.data.mean_action, self._add_up
                )
                if self.main and recipe.evaluation.images:
                    image = prediction_grid.draw_predictions(
                        self.objective,
                        self.held_feed,
                        held,
                        evaluation.evenly_spaced(held, recipe.evaluation.images),
                    )
            entry["held_out"] = self.figures
        if self.main:
            if image is not None:
                self.folder.write(f"pictures/{self.step:08d}.png", encode_png(image))
            self.progress.evaluated(entry, image)

    def _add_up(self, sums: Counter) -> Counter:
        return sum(gather_object([sums]), Counter()) if self.world > 1 else sums

    @contextmanager
    def _averaged(self):
        """With the averaged weights in the parameters' place, if there are any."""

        def swap() -> None:
            for name, value in self.average.items():
                self.trained[name].data, value.data = value.data, self.trained[name].data

        swap()
        try:
            yield
        finally:
            swap()

    def _save_state(self) -> None:
        if broken := [name for name, value in self.trained.items() if not torch.isfinite(value).all()]:
            raise TrainingError(
                f"step {self.step}: {checkpoint.first_few(broken)} became NaN or infinite; the state before is kept"
            )
        if self.main:
            self.folder.save_state(
                self.step, state.collect_tensors(self.model, self.optimizer, self.average, self.recent)
            )
        self.accelerator.wait_for_everyone()

    def _save_checkpoint(self) -> None:
        """The folder as a checkpoint to deploy, with the averaged weights if there are any."""
        if not self.main:
            return
        record = {
            "stage": self.recipe.stage, "recipe": self.recipe.to_dict(), "step": self.step, "steps": self.steps,
            "data": self.data.to_dict(), "trained": list(self.trained), "metrics": self.figures,
        }  # fmt: skip
        with self._averaged(), state.writing(self.folder.path):
            tensors = {name: value.detach().cpu() for name, value in self.model.state_dict().items()}
            checkpoint.save(self.folder.path, tensors, self.model.config, self.data.train.dataset.rig, record)
            for source in (self.recipe.init, self.recipe.clip):
                if source is not None:
                    checkpoint.copy_tokenizer(Path(source), self.folder.path)
