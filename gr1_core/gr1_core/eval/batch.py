"""Several rollouts of one policy at once: one forward pass answers all that wait for an action."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gr1_core.policy import Action, Observation, Policy, PolicyError


@dataclass
class _Rollout:
    instruction: str | Sequence[int]
    language: Tensor
    window: deque[Tensor]


class BatchPolicy(Policy):
    """A Policy with any number of rollouts, each with an instruction and a history of its own.

    Actions equal those of `Policy.step` up to rounding (a larger batch is summed in another order). Not
    thread-safe.
    """

    def __init__(self, *arguments, **named):
        # Fixed shapes are for one rollout.
        super().__init__(*arguments, **named, static=False)
        self._rollouts: dict[Hashable, _Rollout] = {}

    def start_rollout(self, rollout: Hashable, instruction: str | Sequence[int]) -> None:
        """Starts a rollout, or restarts it with an empty history."""
        self.reset(instruction)
        self._rollouts[rollout] = _Rollout(instruction, self._language, deque(maxlen=self.config.window))

    def end_rollout(self, rollout: Hashable) -> None:
        """Removes a rollout."""
        del self._rollouts[rollout]

    def act(self, observations: Mapping[Hashable, Observation]) -> dict[Hashable, Action]:
        """One action for each of these rollouts.

        Raises PolicyError for an action that is not finite, RigError for a frame of a wrong size.
        """
        rollouts = [self._rollouts[key] for key in observations]
        with torch.inference_mode():
            images = torch.cat([self._preprocess(self._views(one)) for one in observations.values()])
            for rollout, tokens in zip(rollouts, self._newest(rollouts, images, list(observations.values()))):
                rollout.window.append(tokens)
            context, mask, lengths = self._context(
                [torch.stack(tuple(rollout.window)) for rollout in rollouts]
            )
            *action, memory = self.model.act(context, mask)
            delta, logit = (part.double().cpu().numpy() for part in action)
        if not (np.isfinite(delta).all() and np.isfinite(logit).all()):
            broken = next(
                index
                for index in range(len(rollouts))
                if not (np.isfinite(delta[index]).all() and np.isfinite(logit[index]))
            )
            raise PolicyError(
                f"the action is not finite (delta {delta[broken].tolist()}, gripper logit {logit[broken]}) "
                f"for '{rollouts[broken].instruction}': an unusable checkpoint"
            )

        def future(index: int):
            own = index, slice(None), slice(lengths[index])
            own_memory = [(keys[own][None], values[own][None]) for keys, values in memory]
            own_images = images[2 * index : 2 * index + 2]
            return self._future(lambda: self._predict_frames(own_images, own_memory))

        return {
            key: Action(delta[i, 0], float(logit[i, 0]), lambda i=i: future(i))
            for i, key in enumerate(observations)
        }

    def _newest(self, rollouts: list[_Rollout], images: Tensor, observations: list[Observation]) -> Tensor:
        """This step's context tokens, [N, tokens, width], without their time."""
        state = torch.tensor(
            [[*one.arm, one.gripper] for one in observations], dtype=self._outer, device=self.device
        )
        language = torch.stack([rollout.language for rollout in rollouts])
        return self.model.step_tokens(language, images.unflatten(0, (-1, 2)), state[:, :6], state[:, 6])

    def _context(self, windows: list[Tensor]) -> tuple[Tensor, Tensor | None, list[int]]:
        """Windows of T_i steps -> context [N, C, width]; attention mask bool[N, 1, 1, C] or None; tokens per
        window.

        A short window is padded at its end, where the causal mask hides the padding from its own tokens.
        """
        steps = torch.tensor([len(window) for window in windows], device=self.device)
        per_step = windows[0].shape[1]
        context = self.model.context(pad_sequence(windows, batch_first=True))
        lengths = (steps * per_step).tolist()
        if min(lengths) == max(lengths):
            return context, None, lengths
        valid = torch.arange(context.shape[1], device=self.device) < (steps * per_step)[:, None]
        return context, valid[:, None, None], lengths
