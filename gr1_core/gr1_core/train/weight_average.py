"""Averaged weights: an exponential moving average of what is trained, by torch's AveragedModel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """Keeps averages of some parameters. `decay` is reached slowly: the first steps' weights are far from
    later ones.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float):
        self._trained, self._decay, self._step = trained, decay, 0
        self._weights = nn.ParameterList(trained.values())
        self._average = AveragedModel(self._weights, multi_avg_fn=self._lerp)
        # It begins with the initial weights, not with those after the first step.
        self._average.n_averaged.fill_(1)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The averages by the parameters' names."""
        return dict(zip(self._trained, self._average.module.parameters()))

    def update(self, step: int) -> None:
        """Takes in the weights after `step` updates."""
        self._step = step
        self._average.update_parameters(self._weights)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the parameters have their average values."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _lerp(self, averages: list[Tensor], weights: list[Tensor], _: Tensor) -> None:
        decay = min(self._decay, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def _swap(self) -> None:
        for name, average in self.tensors.items():
            parameter = self._trained[name]
            parameter.data, average.data = average.data, parameter.data
