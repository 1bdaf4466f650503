"""The training loop, for one process or many (Accelerate): the same recipe gives the same batches, losses and gradients.

Everything random depends on (seed, step) alone, so a run that is resumed from the state of any step goes on as if nothing had happened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object

from gr1_core.images import encode_png
from gr1_core.model import checkpoint
from gr1_core.policy import best_precision
from gr1_core.train import evaluation, losses, pictures, processor, state, weights
from gr1_core.train.data import open_data
from gr1_core.train.feed import Feed
from gr1_core.train.losses import Objective
from gr1_core.train.recipe import Recipe
from gr1_core.train.report import Progress
from gr1_core.train.signals import Stop
from gr1_core.train.state import RunFolder, TrainingError


def train(recipe: Recipe, fresh: bool = False) -> int:
    """Runs or resumes the recipe in its folder. -> 0 when it is finished, 128 + n when signal n ended it early (the state is saved).

    fresh: forget what the folder holds. Raises TrainingError, RecipeError, DatasetError, CheckpointError.
    """
    with Stop() as stop:
        trainer = Trainer(recipe, fresh)
        try:
            return trainer.run(stop)
        finally:
            trainer.close()


class Trainer:
    def __init__(self, recipe: Recipe, fresh: bool = False):
        self.recipe = recipe
        cpu = recipe.device == "cpu" or not torch.cuda.is_available()
        ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        self.accelerator = Accelerator(cpu=cpu, kwargs_handlers=[ddp])
        self.rank, self.world, self.main = self.accelerator.process_index, self.accelerator.num_processes, self.accelerator.is_main_process
        self.device = self.accelerator.device
        processor.prepare(self.device, recipe.threads)
        precision = best_precision(self.device) if recipe.precision == "auto" else recipe.precision

        self.data = open_data(recipe)
        self.order = self.data.order(recipe)
        if recipe.batch % self.world:
            raise TrainingError(f"batch {recipe.batch} does not divide into {self.world} equal parts: choose a multiple of {self.world}")
        self.steps, self.warmup = recipe.schedule(self.order.per_epoch)

        self.folder = RunFolder(recipe.out)
        if self.main:
            self.folder.hold()
            if fresh:
                self.folder.clear()
        self.accelerator.wait_for_everyone()
        resumed = self.folder.latest(recipe)
        self.step = 0 if resumed is None else resumed[0]
        self.model = self._model(resumed is not None)
        self.trained = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

        self.objective = Objective(self.model, recipe.targets, precision == "bf16")
        self.parallel = self.accelerator.prepare_model(self.objective)
        betas, decay = recipe.optimizer.betas, recipe.optimizer.weight_decay
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=recipe.optimizer.lr, betas=betas, weight_decay=decay, fused=True)
        self.average = {name: value.detach().clone() for name, value in self.trained.items()} if recipe.optimizer.ema else {}
        # Losses and steps since the last evaluation; part of the state, so that a resumed run logs the same means.
        self.recent = torch.zeros(len(losses.NAMES) + 1, dtype=torch.float64)
        if resumed is not None:
            state.restore(resumed[1], self.model, self.optimizer, self.average, self.recent)

        self.feed = Feed(self.model, recipe, self.data.train.dataset, self.device, precision == "bf16")
        self.feed.prepare()
        self.held_feed = self.feed
        if self.data.held is not None and self.data.held.dataset is not self.data.train.dataset:
            self.held_feed = Feed(self.model, recipe, self.data.held.dataset, self.device, precision == "bf16")
            self.held_feed.prepare()
        self.progress = Progress(self, precision, resumed is not None) if self.main else None
        self.figures: dict = {}

    def _model(self, resumed: bool):
        if resumed:
            # What is frozen lies in the run's own checkpoint, so the files that it began with are not needed again.
            model = checkpoint.load_model(self.folder.path)
            recipe = self.recipe
            weights.set_trained(model, recipe.targets, recipe.stage == "finetune", "wrist" in recipe.roles, recipe.train_vision)
            return model.train()
        model, report = weights.begin(self.recipe)
        if self.main:
            print(report, flush=True)
            self.folder.begin(self.recipe, report.to_dict())
            self._save_checkpoint(model)
        return model.train()

    def close(self) -> None:
        if self.progress:
            self.progress.close()
        self.accelerator.end_training()

    def run(self, stop: Stop) -> int:
        if self.main:
            self.folder.cut_log(self.step)
        if self.step >= self.steps:
            if self.main:
                print(f"{self.folder.path}: finished at step {self.step}; another run needs another out=DIR, or --fresh")
            return 0
        with self.feed.loader(self.data.train, self._micro_batches()) as loader:
            while self.step < self.steps and not stop.signal:
                stopped = self._update(loader, stop)
                last = self.step == self.steps
                if last or self.step % self.recipe.evaluation.every == 0:
                    self._evaluate()
                if last or stopped or self.step % self.recipe.save_every == 0:
                    self._save_state()
                if last or stopped:
                    self._save_checkpoint(self.model)
                    break
                if self.progress and self.recent[-1] == 0:
                    self.progress.resume_clock()
        if self.step < self.steps:
            if self.main:
                print(f"stopped after step {self.step} of {self.steps}, state saved: the same command goes on from here", flush=True)
            return 128 + (stop.signal or 15)
        return 0

    # One step

    def _batch(self, step: int) -> np.ndarray:
        """The step's global batch, numbers of windows."""
        if step // self.order.per_epoch != getattr(self, "_epoch", (None,))[0]:
            epoch = step // self.order.per_epoch
            self._epoch = (epoch, list(self.order.epoch(epoch)))
        return self.data.starts[self._epoch[1][step % self.order.per_epoch]]

    def _micro_batches(self) -> Iterator[np.ndarray]:
        for numbers in self.order.from_step(self.step):
            yield from self._cut(self.data.starts[numbers])

    def _cut(self, values: np.ndarray) -> list[np.ndarray]:
        """This process's share of what belongs to a global batch, in micro-batches."""
        share = values[self.rank :: self.world]
        size = self.recipe.micro_batch or len(share)
        return [share[start : start + size] for start in range(0, len(share), size)]

    def _update(self, loader: Iterator, stop: Stop) -> bool:
        """One step of the optimizer on one global batch. -> whether any process was asked to stop."""
        recipe, numbers = self.recipe, self._batch(self.step)
        counts = self.data.train.counts(numbers)
        random = np.random.default_rng([recipe.seed, self.step])
        torch.manual_seed(int(np.random.SeedSequence([recipe.seed, self.step, self.rank]).generate_state(1, np.uint64)[0] >> 1))
        shifts = {role: self._cut(random.integers(-most, most + 1, (len(numbers), 2))) for role, most in self.feed.shift.items()}
        parts = self._cut(numbers)
        summed = torch.zeros(len(losses.NAMES) + 1, dtype=torch.float64, device=self.device)
        for k in range(len(parts)):
            shift = {role: cut[k] for role, cut in shifts.items()} if any(self.feed.shift.values()) else None
            inputs = self.feed.inputs(next(loader), shift)
            # Gradients are exchanged once, with the last part.
            with processor.attention(self.device), self._exchange(k == len(parts) - 1):
                each = self.parallel(inputs)
                # Data-parallel training averages over processes, these losses are to be added.
                (self.world * losses.total(each, recipe.loss, counts)).backward()
            for name, value in each.items():
                summed[losses.NAMES.index(name)] += value.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), recipe.optimizer.clip_norm)
        summed[-1] = float(bool(stop.signal))
        if self.world > 1:
            summed = self.accelerator.reduce(summed, "sum")
        values = summed.cpu()
        if not (torch.isfinite(norm) and torch.isfinite(values).all()):
            self._fail(numbers, values, counts, float(norm))
        lr = recipe.lr(self.step, self.steps, self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.average:
            # The first steps' weights are far from where the later ones are.
            decay = min(recipe.optimizer.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.values()), [value.detach() for value in self.trained.values()], 1 - decay)
        self.recent += torch.cat([self._means(values, counts), torch.ones(1, dtype=torch.float64)])
        if self.progress:
            self.progress.step(self._named(self._means(values, counts)), lr, loader.waited_s)
        return bool(values[-1])

    def _exchange(self, last: bool):
        return nullcontext() if last or self.world == 1 else self.accelerator.no_sync(self.parallel)

    def _means(self, values: torch.Tensor, counts: tuple[int, int]) -> torch.Tensor:
        steps, frames = (max(1, count) for count in counts)
        return values[:-1] / torch.tensor([steps, steps, frames, frames], dtype=torch.float64)

    def _named(self, values: torch.Tensor) -> dict[str, float]:
        wanted = [name for name in losses.NAMES if ("action" if name in ("arm", "gripper") else name) in self.recipe.targets]
        return {name: float(values[losses.NAMES.index(name)]) for name in wanted}

    def _fail(self, numbers: np.ndarray, values: torch.Tensor, counts: tuple[int, int], norm: float) -> None:
        """A loss or gradient that is not finite: writes what is known and stops; the last state is not touched."""
        broken = [name for name, value in self.trained.items() if not torch.isfinite(value).all()]
        gradients = [name for name, value in self.trained.items() if value.grad is not None and not torch.isfinite(value.grad).all()]
        said = self._named(self._means(values, counts))
        report = {
            "step": self.step, "losses": {name: str(value) for name, value in said.items()}, "gradient_norm": str(norm),
            "windows": numbers.tolist(), "gradients": gradients, "weights": broken,
        }  # fmt: skip
        if self.main:
            self.folder.write("failure.json", json.dumps(report, indent=1) + "\n")
        what = f"weights {checkpoint.some(broken)}" if broken else f"gradients of {checkpoint.some(gradients)}"
        raise TrainingError(
            f"step {self.step}: losses {', '.join(f'{name} {value:.4g}' for name, value in said.items())}, gradient norm {norm:.4g}: not finite "
            f"in the {what}. {self.folder.path / 'failure.json'} has the batch. The last state is good: try a smaller optimizer.lr"
        )

    # Evaluations and files

    def _evaluate(self) -> None:
        recipe, held = self.recipe, self.data.held
        means, steps = self.recent[:-1], max(1.0, float(self.recent[-1]))
        entry = {"step": self.step, "epoch": self.step / self.order.per_epoch, "train": self._named(means / steps)}
        image = None
        if held is not None:
            numbers = evaluation.chosen(held, recipe.evaluation.windows)
            size = min(recipe.micro_batch or 64, 64)
            with self._averaged(), processor.attention(self.device):
                figures = evaluation.measure(
                    self.objective, self.held_feed, held, evaluation.batches(numbers, size, self.rank, self.world), self.data.mean_action,
                    self._add_up,
                )  # fmt: skip
                if self.main and recipe.evaluation.pictures:
                    image = pictures.grid(self.objective, self.held_feed, held, evaluation.chosen(held, recipe.evaluation.pictures))
            self.figures = entry["held_out"] = figures
        self.recent.zero_()
        if self.main:
            if image is not None:
                self.folder.write(f"pictures/{self.step:08d}.png", encode_png(image))
            self.progress.evaluated(entry, image)
        self._save_checkpoint(self.model)

    def _add_up(self, sums: Counter) -> Counter:
        return sum(gather_object([sums]), Counter()) if self.world > 1 else sums

    def _averaged(self):
        return _Swapped(self.trained, self.average)

    def _save_state(self) -> None:
        if self.main:
            if broken := [name for name, value in self.trained.items() if not torch.isfinite(value).all()]:
                raise TrainingError(f"step {self.step}: {checkpoint.some(broken)} became NaN or infinite; the state before is kept")
            self.folder.save_state(self.step, state.collect(self.model, self.optimizer, self.average, self.recent))
        self.accelerator.wait_for_everyone()

    def _save_checkpoint(self, model) -> None:
        if not self.main:
            return
        record = {
            "stage": self.recipe.stage, "recipe": self.recipe.to_dict(), "step": self.step, "steps": self.steps,
            "data": self.data.to_dict(), "trained": [name for name, value in model.named_parameters() if value.requires_grad],
            "metrics": getattr(self, "figures", {}),
        }  # fmt: skip
        rig = self.data.train.dataset.rig
        with _Swapped(getattr(self, "trained", {}), getattr(self, "average", {})), state.writing(self.folder.path):
            tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
            checkpoint.save(self.folder.path, tensors, model.config, rig, record)
        for source in (self.recipe.init, self.recipe.clip):
            if source is not None:
                checkpoint.copy_tokenizer(Path(source), self.folder.path)


class _Swapped:
    """With the averaged weights in the parameters' place; nothing changes without an average."""

    def __init__(self, trained: dict[str, torch.Tensor], average: dict[str, torch.Tensor]):
        self.pairs = [(trained[name], value) for name, value in average.items()]

    def __enter__(self) -> None:
        for parameter, value in self.pairs:
            parameter.data, value.data = value.data, parameter.data

    __exit__ = lambda self, *_: self.__enter__()  # noqa: E731
