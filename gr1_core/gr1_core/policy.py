"""The policy at control rate: one `step` per control period.

The published loop encodes the text and all twenty images of the window at every step and computes every
token. Here each frame is encoded once and the text once per instruction; past queries are dropped, since no
token attends to them; the last layer computes only the row of the newest [ACT]. The result is that of the
full window, to rounding.

Keys and values cannot be kept across steps: when the window slides, every frame's time embedding changes.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gr1_core.model import checkpoint, factory, patches
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import GR1
from gr1_core.model.language import CONTEXT, END, START, shorten, token_tensor, tokenize
from gr1_core.model.packed_linear import can_pack, pack
from gr1_core.model.precision import allow_tf32, best_precision
from gr1_core.model.static_step import StaticStep
from gr1_core.pretrained import resolve
from gr1_core.rig import ROLES, Camera, Rig

PRECISIONS = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


INT8_ERROR_LIMIT = 0.05
"""Of the action's standard deviation: `auto` takes int8 only below it."""
INT8_LEAST_WEIGHTS = 20e6
"""In products: smaller models gain nothing from int8 (docs/results/log.md). No timing decides, so that a
model computes the same on a busy computer.
"""
_CHECKED_STEPS = 6
_PACKED = ("vision", "resampler", "transformer", "decoder", "embed_patches", "embed_cls")


class PolicyError(ValueError):
    """An observation that cannot be acted on, or an action that must not be carried out."""


@dataclass(frozen=True)
class Observation:
    """What the robot sees and is at one moment.

    static, wrist: u8[H, W, 3] RGB at the rig's size; wrist None for a rig without that camera. arm: f64[6],
    xyz in metres and Euler angles (see `Rig.arm_state`). gripper: the last command, +1 open or -1 closed.
    """

    static: np.ndarray
    wrist: np.ndarray | None = None
    arm: np.ndarray | None = None
    gripper: float | None = None


@dataclass(frozen=True)
class Future:
    """The frames that the model expects `config.future_steps` steps ahead, u8[S, S, 3] RGB, and the decoder's
    raw output (GR1.frames). Those of the wrist are None for a rig without that camera.
    """

    static: np.ndarray
    wrist: np.ndarray | None
    static_patches: np.ndarray  # f[patches, patch_dim]
    wrist_patches: np.ndarray | None


@dataclass(frozen=True)
class Action:
    """delta: f64[6] in the model's units (`Rig.twist` makes a twist of it). gripper: +1 open where the logit
    is above 0, else -1.
    """

    delta: np.ndarray
    gripper_logit: float
    _future: Callable[[], Future] = field(repr=False)
    later: np.ndarray = field(default_factory=lambda: np.empty((0, 7)))
    """f64[chunk - 1, 7]: what the model expects to do at the following steps, deltas and gripper logit."""

    @property
    def gripper(self) -> int:
        return 1 if self.gripper_logit > 0 else -1

    def future(self) -> Future:
        """Decodes the predicted frames; costs nothing unless called. Raises PolicyError for a baseline, which
        predicts none.
        """
        return self._future()


@dataclass(frozen=True)
class History:
    """A rollout between two steps (`Policy.history`): the instruction's embedding, the window's tokens, and
    their number where the window has a fixed length.
    """

    language: Tensor | None
    tokens: tuple[Tensor, ...]
    count: int = 0


class Policy:
    """A GR-1 ready to run. Use it from one thread at a time."""

    def __init__(
        self,
        model: GR1,
        rig: Rig,
        device: str = "auto",
        precision: str = "auto",
        tokenizer: Path | None = None,
        static: bool | None = None,
    ):
        """model: taken over, cast and packed in place.

        static: steps with fixed shapes in fixed memory (model/static_step.py); None: on CUDA, where they
        become one graph.
        """
        self.rig, self.config = rig, model.config
        self.device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        self.precision = _auto_precision(model, rig, self.device) if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision '{precision}' is not one of {', '.join(PRECISIONS)}, auto")
        if self.precision == "int8" and (self.device.type != "cpu" or not can_pack(torch.int8)):
            raise ValueError("precision 'int8' needs a CPU with AVX512-VNNI or AVX-VNNI: choose fp32 or auto")
        if self.device.type == "cuda":
            allow_tf32(self.precision == "bf16")
        self.dtype = PRECISIONS[self.precision]
        self._outer = torch.float64 if self.precision == "fp64" else torch.float32
        self.model = model.to(self.device, self._outer).eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._step_s = 0.0  # s, of a step with a full window; 0: not measured
        self._language: Tensor | None = None
        self._window: deque[Tensor] = deque(maxlen=self.config.window)
        with torch.inference_mode():
            if self.dtype != torch.float64:
                # The text tower runs once per instruction; the state's embedding and the action head are
                # tiny: they keep their precision.
                for name, part in model.named_children():
                    if name in _PACKED:
                        pack(part, self.dtype)
            self._static = self._static_step() if _uses_static(static, self.device) else None

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "auto", precision: str = "auto") -> Policy:
        """A policy from a checkpoint folder, or from `demo`, which comes with the package.

        Raises CheckpointError.
        """
        model, rig = checkpoint.load(folder)
        return cls(model, rig, device, precision, resolve(folder))

    @classmethod
    def untrained(
        cls, config: GR1Config, rig: Rig, seed: int = 0, device: str = "auto", precision: str = "auto"
    ) -> Policy:
        """Random weights, the same for the same seed: for tests and measurements, not for a robot."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = factory.new_model(config)
        return cls(model, rig, device, precision)

    def reset(self, instruction: str | Sequence[int]) -> None:
        """Starts a rollout with an empty history. instruction: text, or CLIP's 77 token ids."""
        tokens = tokenize(instruction, self._tokenizer) if isinstance(instruction, str) else instruction
        with torch.inference_mode():
            self._language = self.model.encode_text(token_tensor(tokens, self.device))
            if self._static:
                self._static.reset(self._language)
        self._window.clear()

    def step(self, observation: Observation) -> Action:
        """One control period. A refused observation does not enter the history.

        Raises PolicyError for a state or an action that is not finite, RigError for a frame that is not the
        rig's; both are ValueErrors.
        """
        if self._language is None:
            raise PolicyError("no instruction yet: call reset(instruction) before step()")
        arm = _checked_arm(observation.arm)
        if np.ndim(observation.gripper) or observation.gripper not in (1, -1):
            raise PolicyError(
                f"gripper is {observation.gripper!r}, expected the last command: +1 open or -1 closed"
            )
        views = self._views(observation)
        with torch.inference_mode():
            if self._static:
                numbers = self._static.run(views, arm, observation.gripper)
            else:
                images = self._preprocess(views)
                tokens = self._step_tokens(images, arm, observation.gripper)
                window = torch.stack([*self._window, tokens][-self.config.window :])
                deltas, logits, memory = self.model.act(self.model.context(window[None]))
                numbers = torch.cat([deltas[0], logits[0, :, None]], -1).cpu().numpy().astype(np.float64)
        delta, logit, later = numbers[0, :6], float(numbers[0, 6]), numbers[1:]
        if not np.isfinite(numbers).all():
            raise PolicyError(
                f"the action is not finite (delta {delta.tolist()}, gripper logit {logit}) for the arm state "
                f"{arm.tolist()}: a state far outside of the training data, or an unusable checkpoint"
            )
        if self._static:
            with torch.inference_mode():
                future = self._static.accept()
            return Action(delta, logit, lambda: self._future(future.compute), later)
        self._window.append(tokens)
        return Action(delta, logit, lambda: self._future(lambda: self._predict_frames(images, memory)), later)

    def history(self) -> History:
        """A copy of the rollout's state: one model serves several rollouts in turn by `restore`."""
        if self._static is None:
            return History(self._language, tuple(self._window))
        with torch.inference_mode():
            tokens, count = self._static.copy_window()
        return History(self._language, (tokens,), count)

    def restore(self, history: History) -> None:
        """Continues the rollout whose state `history()` returned."""
        self._language = history.language
        if self._static is None:
            self._window.clear()
            self._window.extend(history.tokens)
            return
        with torch.inference_mode():
            self._static.restore_window(history.language, *history.tokens, history.count)

    def describe(self) -> str:
        """Where it computes and how fast, such as "cpu, fp32, 35 ms a step"; `warm_up` takes the time."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        time_of_step = f", {1e3 * self._step_s:.3g} ms a step" if self._step_s else ""
        return f"{device}, {self.precision}{time_of_step}"

    def warm_up(self) -> None:
        """Runs each code path once at every length of the window, so that the first real step is as fast as
        the rest.
        """
        history = self.history()
        if self._static:
            with torch.inference_mode():
                self._static.capture()
        self.reset("a")  # as text: the first one waits half a second for the tokenizer
        frames = {
            role: np.zeros((camera.height, camera.width, 3), np.uint8)
            for role, camera in self.rig.cameras.items()
        }
        for _ in range(self.config.window + 1):
            began = time.perf_counter()
            action = self.step(Observation(**frames, arm=np.zeros(6), gripper=1))
            self._step_s = time.perf_counter() - began
        if self.config.predicts_frames:
            action.future()
        self.restore(history)

    def _static_step(self) -> StaticStep:
        views = {role: _view_size(camera) for role, camera in self.rig.cameras.items()}
        return StaticStep(self.model, views, self._outer, self.device)

    def _views(self, observation: Observation) -> dict[str, np.ndarray]:
        """Each camera's frame, cropped to the model's view; raises RigError for another size."""
        return {role: camera.view(getattr(observation, role)) for role, camera in self.rig.cameras.items()}

    def _preprocess(self, views: Mapping[str, np.ndarray]) -> Tensor:
        """The cameras' views -> [cameras, 3, S, S]."""
        frames = []
        for role in self.rig.cameras:
            pixels = torch.from_numpy(np.ascontiguousarray(views[role]))[None].to(self.device)
            frames.append(patches.preprocess(pixels, self.config.image_size, self._outer))
        return torch.cat(frames)

    def _step_tokens(self, images: Tensor, arm: np.ndarray, gripper: float) -> Tensor:
        """One step's context tokens without their time embedding, [tokens, width]."""
        state = torch.as_tensor([*arm, gripper], dtype=self._outer, device=self.device)
        return self.model.step_tokens(self._language, images, state[:6], state[6])

    def _future(self, compute: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Future:
        if not self.config.predicts_frames:
            raise PolicyError(f"policy '{self.config.policy}' predicts no frames: only a GR-1 has a future()")
        with torch.inference_mode():
            frames, predicted = compute()
        none = [None] * (len(ROLES) - len(frames))
        return Future(*frames, *none, *predicted, *none)

    def _predict_frames(self, images: Tensor, memory) -> tuple[np.ndarray, np.ndarray]:
        """-> frames u8[cameras, S, S, 3], the decoder's output [cameras, patches, patch_dim]."""
        predicted = self.model.predict_frames(memory, images[None])[0].to(self._outer)
        frames = patches.to_pixels(self.model.compose_frames(predicted, images))
        return frames.cpu().numpy(), predicted.cpu().numpy()


def _auto_precision(model: GR1, rig: Rig, device: torch.device) -> str:
    """bf16 where the device has it; else int8 where the CPU has it and it suits this model; else fp32."""
    best = best_precision(device)
    if best != "fp32" or device.type != "cpu" or not can_pack(torch.int8):
        return best
    parts = (part for name, part in model.named_children() if name in _PACKED)
    products = (one for part in parts for one in part.modules() if isinstance(one, nn.Linear))
    if sum(one.weight.numel() for one in products) < INT8_LEAST_WEIGHTS:
        return "fp32"
    return "int8" if int8_error(model, rig) < INT8_ERROR_LIMIT else "fp32"


def int8_error(model: GR1, rig: Rig) -> float:
    """int8 against fp32 on a few synthetic steps: RMS of the arm's actions over their standard deviation."""
    random = np.random.default_rng(0)
    policies = [Policy(copy.deepcopy(model), rig, "cpu", precision) for precision in ("fp32", "int8")]
    for policy in policies:
        policy.reset([START, END] + [0] * (CONTEXT - 2))
    deltas = []
    for _ in range(_CHECKED_STEPS):
        frames = {role: _coarse_image(random, camera) for role, camera in rig.cameras.items()}
        seen = Observation(**frames, arm=random.uniform(-0.5, 0.5, 6), gripper=1)
        deltas += [policy.step(seen).delta for policy in policies]
    exact, fast = np.array(deltas).reshape(-1, 2, 6).swapaxes(0, 1)
    return float(np.sqrt(((exact - fast) ** 2).mean()) / max(exact.std(0).mean(), 1e-9))


def _coarse_image(random: np.random.Generator, camera: Camera) -> np.ndarray:
    """8 x 8 blocks of colour at the camera's size."""
    blocks = random.integers(0, 256, (8, 8, 3), np.uint8)
    height, width = camera.height, camera.width
    return blocks.repeat(-(-height // 8), 0).repeat(-(-width // 8), 1)[:height, :width]


def _uses_static(asked: bool | None, device: torch.device) -> bool:
    return device.type == "cuda" if asked is None else asked


def _view_size(camera: Camera) -> tuple[int, int]:
    """(height, width) of a camera's view."""
    return camera.view(np.broadcast_to(np.uint8(0), (camera.height, camera.width, 3))).shape[:2]


def _checked_arm(arm) -> np.ndarray:
    try:
        numbers = np.asarray(arm, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (6,) or not np.isfinite(numbers).all():
        raise PolicyError(
            f"arm is {shorten(arm)}, expected 6 finite numbers: xyz in metres and three Euler angles"
        )
    return numbers
