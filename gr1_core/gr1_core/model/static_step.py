"""The control step with fixed shapes in fixed memory, which a GPU replays as one captured graph.

A control step launches about 500 kernels. Launched one by one they take longer than their arithmetic. Here
all inputs lie in one page-locked buffer and reach the device with one copy; the window is a buffer of full
length with a count of its steps; the action comes back with one read. The future frames are a second graph.
On a CPU the same functions run eagerly, which is how they are tested; `Policy` has a faster way there.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from gr1_core.model import patches
from gr1_core.model.gr1 import GR1
from gr1_core.rig import ROLES

_WARM_UP = 3  # calls before a capture: libraries allocate their workspaces in the first ones
_ALIGNMENT = 16  # bytes


class StaticStep:
    """One rollout of a packed model on one device. Use it from one thread, in inference mode.

    views: each camera's (height, width) as the model sees it. dtype: of all numbers but the packed products.
    """

    def __init__(
        self, model: GR1, views: Mapping[str, tuple[int, int]], dtype: torch.dtype, device: torch.device
    ):
        self._model, self._config, self._dtype, self._device = model, model.config, dtype, device
        self._roles = tuple(role for role in ROLES if role in views)
        images = {role: ((*views[role], 3), torch.uint8) for role in self._roles}
        self._inputs = _Inputs({"state": ((7,), dtype), "count": ((), torch.int64)} | images, device)
        self._language = torch.zeros(1, self._config.text_dim, dtype=dtype, device=device)
        self._steps = torch.arange(self._config.window, device=device)
        tokens = self._step_tokens(self._current_images())
        # Missing steps come last. The candidate is the window with the newest step.
        self._window = tokens.new_zeros(self._config.window, *tokens.shape)
        self._candidate = torch.zeros_like(self._window)
        self._output = torch.zeros(self._config.chunk, 7, dtype=dtype, device=device)
        self._host_output = torch.zeros(self._output.shape, dtype=dtype, pin_memory=device.type == "cuda")
        self._source: _FutureSource | None = None
        self._predicted: tuple[Tensor, Tensor] | None = None
        self._count = 0
        self._graphs: dict[Callable, torch.cuda.CUDAGraph] = {}
        self._latest: weakref.ref[FutureHandle] | None = None

    def capture(self) -> None:
        """On CUDA: captures both graphs. Keeps the rollout's state."""
        if self._device.type == "cuda" and not self._graphs:
            functions = [self._compute_step]
            functions += [self._compute_future] if self._config.predicts_frames else []
            for function in functions:
                self._graphs[function.__func__] = self._captured(function)

    def reset(self, embedding: Tensor) -> None:
        """Starts a rollout. embedding [1, text_dim]: of `encode_text`."""
        self._language.copy_(embedding)
        self._count = 0

    def run(self, views: Mapping[str, np.ndarray], arm: np.ndarray, gripper: float) -> np.ndarray:
        """One step -> f64[chunk, 7]: the arm's deltas and the gripper's logits. `accept` changes the window.

        views: u8[h, w, 3] by camera. arm f64[6]. gripper: +1 or -1.
        """
        if self._latest and (handle := self._latest()):
            handle.keep()
        for role in self._roles:
            self._inputs.host[role][...] = views[role]
        self._inputs.host["state"][...] = (*arm, gripper)
        self._inputs.host["count"][...] = self._count
        self._inputs.upload()
        self._execute(self._compute_step)
        self._host_output.copy_(self._output, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return self._host_output.numpy().astype(np.float64)

    def accept(self) -> FutureHandle:
        """The last step becomes part of the window -> its future frames, computed when they are asked for."""
        self._window.copy_(self._candidate)
        self._count += 1
        handle = FutureHandle(self)
        self._latest = weakref.ref(handle)
        return handle

    def copy_window(self) -> tuple[Tensor, int]:
        """The window's tokens [window, tokens, width] and its number of steps, for `restore_window`."""
        return self._window.clone(), self._count

    def restore_window(self, embedding: Tensor | None, tokens: Tensor, count: int) -> None:
        """Puts a copied window back, and its instruction if there was one."""
        if embedding is not None:
            self._language.copy_(embedding)
        self._window.copy_(tokens)
        self._count = count

    # The contents of the graphs: fixed inputs, fixed outputs, no read by the host

    def _compute_step(self) -> None:
        images = self._current_images()
        tokens = self._step_tokens(images)
        count, window = self._inputs.device["count"], self._config.window
        slot = count.clamp(max=window - 1)
        before = torch.where(count < window, self._window, self._window.roll(-1, 0))
        self._candidate.copy_(torch.where((self._steps == slot)[:, None, None], tokens, before))
        mask = (self._steps <= slot).repeat_interleave(len(tokens))[None, None, None]
        context = self._model.context(self._candidate[None])
        deltas, logits, memory = self._model.act(context, mask)
        self._output.copy_(torch.cat([deltas[0], logits[0, :, None]], -1))
        if self._config.predicts_frames:
            # In one tensor, so that keeping it is one copy.
            keys_values = torch.stack([torch.stack(pair) for pair in memory])
            self._source = _copy_into(self._source, _FutureSource(images, keys_values, mask))

    def _compute_future(self) -> None:
        predicted = self._source.predict(self._model, self._dtype)
        if self._predicted is None:
            self._predicted = tuple(part.clone() for part in predicted)
        for kept, part in zip(self._predicted, predicted):
            kept.copy_(part)

    def _current_images(self) -> Tensor:
        """The cameras' frames, preprocessed [cameras, 3, S, S]."""
        size = self._config.image_size
        views = (self._inputs.device[role][None] for role in self._roles)
        return torch.cat([patches.preprocess(view, size, self._dtype) for view in views])

    def _step_tokens(self, images: Tensor) -> Tensor:
        """[tokens, width]."""
        state = self._inputs.device["state"]
        return self._model.step_tokens(self._language, images, state[:6], state[6])

    # Running them

    def _execute(self, function: Callable[[], None]) -> None:
        if graph := self._graphs.get(function.__func__):
            graph.replay()
        else:
            function()

    def _captured(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph:
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                function()
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            function()
        return graph

    def _future(self, kept: _FutureSource | None) -> tuple[np.ndarray, np.ndarray]:
        if kept is not None:
            predicted = kept.predict(self._model, self._dtype)
        else:
            self._execute(self._compute_future)
            predicted = self._predicted
        return tuple(part.cpu().numpy() for part in predicted)


class FutureHandle:
    """The future frames of one step. The next step overwrites what they are predicted from, so `keep` copies
    it before.
    """

    def __init__(self, step: StaticStep):
        self._step, self._kept, self._result = step, None, None

    def keep(self) -> None:
        """Copies the source of the frames, unless they have been computed."""
        if self._result is None and self._kept is None and self._step._source is not None:
            self._kept = self._step._source.clone()

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Frames u8[cameras, S, S, 3] and the decoder's output f[cameras, patches, patch_dim]."""
        if self._result is None:
            self._result, self._kept = self._step._future(self._kept), None
        return self._result


class _FutureSource:
    """What the future frames are predicted from.

    images [cameras, 3, S, S]: the current frames. keys_values [layers, 2, 1, heads, context, head width]:
    of the
    context. mask bool[1, 1, 1, context]: which of its tokens exist.
    """

    def __init__(self, images: Tensor, keys_values: Tensor, mask: Tensor):
        self.images, self.keys_values, self.mask = images, keys_values, mask

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.images, self.keys_values, self.mask

    def clone(self) -> _FutureSource:
        return _FutureSource(*(tensor.clone() for tensor in self.tensors))

    def predict(self, model: GR1, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """-> frames u8[cameras, S, S, 3], the decoder's output [cameras, patches, patch_dim]."""
        memory = [(pair[0], pair[1]) for pair in self.keys_values]
        predicted = model.predict_frames(memory, self.images[None], self.mask)[0].to(dtype)
        return patches.to_pixels(model.compose_frames(predicted, self.images)), predicted


def _copy_into(target: _FutureSource | None, source: _FutureSource) -> _FutureSource:
    if target is None:
        return source.clone()
    for old, new in zip(target.tensors, source.tensors):
        old.copy_(new)
    return target


class _Inputs:
    """Named inputs that share one buffer on the host (`host`, numpy arrays) and one on the device (`device`,
    tensors).
    """

    def __init__(self, shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype]], device: torch.device):
        sizes = {name: math.prod(shape) * dtype.itemsize for name, (shape, dtype) in shapes.items()}
        starts, total = {}, 0
        for name, size in sizes.items():
            starts[name] = total
            total += -(-size // _ALIGNMENT) * _ALIGNMENT
        self._host = torch.zeros(total, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._device = torch.zeros(total, dtype=torch.uint8, device=device)

        def view(buffer: Tensor, name: str) -> Tensor:
            shape, dtype = shapes[name]
            return buffer[starts[name] : starts[name] + sizes[name]].view(dtype).view(shape)

        self.host = {name: view(self._host, name).numpy() for name in shapes}
        self.device = {name: view(self._device, name) for name in shapes}

    def upload(self) -> None:
        self._device.copy_(self._host, non_blocking=True)
