"""The trained weights of a run: gradients, optimizer, averages, and their part of a saved state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gr1_core.model.gr1 import GR1
from gr1_core.train import cpu_tuning, losses
from gr1_core.train.losses import Inputs, Objective
from gr1_core.train.recipe import Recipe
from gr1_core.train.weight_average import WeightAverage


class Learner:
    """A model with its losses and optimizer, on one process of a run.

    model: on the CPU, its trained parameters marked by requires_grad; it is moved to the processes' device.
    """

    def __init__(self, recipe: Recipe, model: GR1, processes: Accelerator, bf16: bool):
        self._recipe, self._processes = recipe, processes
        self.device, self.model = processes.device, model
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.objective = Objective(model.train(), recipe.targets, bf16, recipe.absolute_frame_error)
        self._parallel = processes.prepare_model(self.objective)
        optimizer = recipe.optimizer
        self.average = WeightAverage(self.trained, optimizer.ema) if optimizer.ema else None
        self.optimizer = torch.optim.AdamW(
            self.trained.values(),
            lr=optimizer.lr,
            betas=optimizer.betas,
            weight_decay=optimizer.weight_decay,
            fused=True,
        )

    def compile(self) -> None:
        """Compiles the parts that take most of the time, at their first use."""
        for name in ("transformer", "resampler", "decoder"):
            if part := getattr(self.model, name, None):
                part.compile(dynamic=False)

    def add_gradients(
        self, micro_batches: Iterable[Inputs], number: int, counts: tuple[float, float, float], seed: int
    ) -> Tensor:
        """Adds this process's gradients of one global batch -> its summed losses f64[5], in the order of
        losses.NAMES.

        number: of micro-batches; the last one must reach all weights. counts: see `losses.total_loss`. seed:
        of dropout.
        """
        summed = torch.zeros(len(losses.NAMES), dtype=torch.float64, device=self.device)
        torch.manual_seed(seed)
        world = self._processes.num_processes
        for index, inputs in enumerate(micro_batches):
            # Gradients are exchanged once, with the last micro-batch.
            alone = world > 1 and index < number - 1
            with (
                cpu_tuning.attention(self.device),
                self._processes.no_sync(self._parallel) if alone else nullcontext(),
            ):
                each = self._parallel(inputs)
                # Data-parallel training averages over processes; these losses are to be added.
                (world * losses.total_loss(each, self._recipe.loss, counts)).backward()
            for name, value in each.items():
                summed[losses.NAMES.index(name)] += value.detach()
        return summed

    def update(self, summed: Tensor, step: int, learning_rate: float, stop: bool) -> UpdateRecord:
        """One optimizer step from the added gradients. If a loss or gradient of any process is not finite,
        the weights stay as they are.

        summed: of `add_gradients`. step: number of updates before this one. stop: whether this process was
        asked to stop.
        """
        gradients = [value.grad for value in self.trained.values()]
        norms = torch.stack(torch._foreach_norm(gradients))
        norm = torch.linalg.vector_norm(norms)
        values = torch.cat([summed, summed.new_full((1,), float(stop))])
        if self._processes.num_processes > 1:
            values = self._processes.reduce(values, "sum")
        # Decided on the device: the host need not wait for the result before it launches the next step.
        finite = torch.isfinite(values).all() & torch.isfinite(norm)
        torch.nn.utils.clip_grads_with_norm_(self.trained.values(), self._recipe.optimizer.clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.found_inf = (
            ~finite
        ).float()  # read by the fused optimizer, which then changes nothing
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(step + 1)
        return UpdateRecord(step, learning_rate, torch.cat([values, norm[None].double(), norms.double()]))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the model has the averaged weights, if there are any."""
        with self.average.in_place() if self.average else nullcontext():
            yield

    def broken_weights(self) -> list[str]:
        """Names of trained parameters with NaN or infinite values."""
        return [name for name, value in self.trained.items() if not torch.isfinite(value).all()]

    def state(self) -> dict[str, Tensor]:
        """Weights, optimizer and averages, by name."""
        averages = self.average.tensors if self.average else {}
        tensors = {f"ema/{name}": tensor for name, tensor in averages.items()}
        for name, parameter in self.trained.items():
            tensors[f"model/{name}"] = parameter
            tensors |= {f"{key}/{name}": value for key, value in self.optimizer.state[parameter].items()}
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        averages = self.average.tensors if self.average else {}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            if part == "model":
                self.trained[name].data.copy_(tensor)
            elif part == "ema":
                averages[name].data.copy_(tensor)
            else:
                parameter = self.trained[name]
                self.optimizer.state[parameter][part] = tensor.to(parameter.device, copy=True)


class UpdateRecord:
    """Losses and gradient norms of one update. On CUDA they are copied to the host in the background; `read`
    waits for them.
    """

    def __init__(self, step: int, learning_rate: float, values: Tensor):
        self.step, self.learning_rate = step, learning_rate
        self._event = None
        if values.device.type == "cuda":
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            pinned.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
            values = pinned
        self._values = values

    def read(self) -> tuple[list[float], bool, float, np.ndarray]:
        """-> (summed losses of all processes, whether any process was asked to stop, gradient norm, each
        parameter's norm f64[P]).
        """
        if self._event:
            self._event.synchronize()
        count = len(losses.NAMES)
        values = self._values.numpy()
        return values[:count].tolist(), values[count] > 0, float(values[count + 1]), values[count + 2 :]
