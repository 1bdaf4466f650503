"""GR-1 at control rate: one thread takes a step each control period, another looks every 10 ms whether it still may. No ROS import.

The rule: nothing moves on old data. When a stream goes stale in motion, one zero twist is sent at once; nothing more is sent until
the stream is back, and then the policy's history starts anew, since a window with a hole is not what it was trained on.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gr1_policy.inputs import CAMERAS, Inputs
from gr1_robot.timing import Rate, Window

LOOK_EVERY = 0.01
# How long past its time a step may wait for a frame: the command before it expires after 1.5 periods.
PATIENCE = 0.25


@dataclass(frozen=True)
class Step:
    """One step as viewers need it. `index` counts from 0 since the history was cleared; views are what the model saw, u8[h, w, 3]."""

    index: int
    stamp: float
    views: dict[str, np.ndarray]
    future: object | None


class Output(Protocol):
    """Where a controller's results go; every call is made from one of its threads."""

    def now(self) -> float:
        """Seconds on the clock that stamps are in."""

    def send(self, linear: np.ndarray, angular: np.ndarray, closure: float) -> None:
        """One command: m/s and rad/s in the base frame; closure 0 open .. 1 closed."""

    def rest(self) -> None:
        """A zero twist."""

    def wants_future(self) -> bool:
        """Whether anybody looks at predicted frames."""

    def show(self, step: Step) -> None:
        """A step to look at, after its command was sent. Must return at once."""

    def report(self, error: str) -> None:
        """A step failed."""

    def fault_changed(self) -> None:
        """The inputs have become unusable, or usable again."""


class Controller:
    """Acts between `start()` and `stop()`. `act` False: takes every step, but sends nothing."""

    def __init__(self, policy, rig, inputs: Inputs, output: Output, act: bool = True, instruction: str = ""):
        # It brings torch along, which takes seconds: a node that is refused its parameters should say so at once.
        from gr1_core import Observation

        self._observation = Observation
        self._policy, self._rig, self._inputs, self._output, self._act = policy, rig, inputs, output, act
        self.instruction = instruction
        self.statistics = Statistics()
        self.fault, self.error = "", ""
        # Guards who may send: the watchdog's zero must not be followed by a command that was computed before it.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._restart, self._moving = True, False
        self._used: dict[str, float] = {}
        self._index, self._decoding = 0, 0.0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._ended.clear()
        self._restart, self._index = True, 0
        self.statistics = Statistics()
        self._threads = [threading.Thread(target=run, name=run.__name__, daemon=True) for run in (self._control, self._watch)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Sends nothing more but one zero twist (if this controller acts), at once, and ends the threads."""
        with self._lock:
            running = bool(self._threads) and not self._ended.is_set()
            self._ended.set()
            if running and self._act:
                self._output.rest()
            self._moving = False
        for thread in self._threads:
            thread.join()
        self._threads = []

    def instruct(self, text: str) -> None:
        """A new rollout: history cleared at the next step; an action that is being computed now is dropped."""
        with self._lock:
            self.instruction, self._restart = text, True

    # The control thread

    def _control(self) -> None:
        period, due = self._rig.period, time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            if self.instruction:
                self._inputs.await_new_frames(self._used, PATIENCE * period)
                self._period(due + period)
            due += period
            # Locked to the grid: after a late step the next one is on time, and periods that are wholly gone are counted.
            gone = max(0, round((time.monotonic() - due) / period))
            due += gone * period
            self.statistics.skip(gone)

    def _period(self, until: float) -> None:
        samples = self._inputs.newest()
        old = [name for name in CAMERAS if name not in samples or samples[name].stamp <= self._used.get(name, float("-inf"))]
        if old or self._look():
            return self.statistics.skip(1)
        try:
            self._step(samples, until)
            self.error = ""
        except Exception as error:  # whatever the model or a frame brings: the arm must rest, and the user must read why
            self.error = str(error) or repr(error)
            self.statistics.skip(1)
            with self._lock:
                self._halt()
            self._output.report(self.error)

    def _step(self, samples, until: float) -> None:
        began = time.monotonic()
        with self._lock:
            restart, self._restart, instruction = self._restart, False, self.instruction
        if restart:
            self._policy.reset(instruction)
            self._index = 0
        position, quaternion = samples["arm"].value
        state = self._rig.state_vector(position, quaternion, samples["gripper"].value)
        arm = state[:6].astype(np.float64)
        images = {name: samples[name].value for name in CAMERAS}
        action = self._policy.step(self._observation(static=images["static"], wrist=images["wrist"], arm=arm, gripper=float(state[6])))
        self._used = {name: samples[name].stamp for name in CAMERAS}
        if not np.all(np.isfinite(action.delta)):
            raise ArithmeticError(f"the policy's action is not finite: {np.asarray(action.delta).tolist()}")
        linear, angular = self._rig.twist(action.delta, arm)
        with self._lock:
            if self._ended.is_set() or self._restart:
                return  # a new rollout has begun meanwhile: this action belongs to none
            if self._act:
                self._output.send(linear, angular, 0.0 if action.gripper > 0 else 1.0)
                self._moving = True
            done = time.monotonic()
        self.statistics.step(done, done - began, self._output.now() - min(self._used.values()))
        self._show(action, images, until)

    def _show(self, action, images, until: float) -> None:
        began, future = time.monotonic(), None
        if self._output.wants_future() and began + self._decoding < until:
            future = action.future()
            self._decoding = time.monotonic() - began
        else:
            # One slow decoding (the first, say) must not end the predictions for good.
            self._decoding *= 0.9
        views = {name: self._rig.cameras[name].view(image) for name, image in images.items()}
        self._output.show(Step(self._index, min(self._used.values()), views, future))
        self._index += 1

    # The watchdog thread

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self._look()

    def _look(self) -> str:
        """The fault of this moment; a fault brings the arm to rest."""
        with self._lock:
            before, self.fault = self.fault, self._inputs.fault(self._output.now(), time.monotonic())
            if self.fault:
                self._halt()
        if bool(before) != bool(self.fault):
            self._output.fault_changed()
        return self.fault

    def _halt(self) -> None:
        self._restart = True
        if self._moving and not self._ended.is_set():
            self._output.rest()
        self._moving = False


class Statistics:
    """How often and how fast the steps were; seconds inside, milliseconds in `values()`."""

    def __init__(self):
        self._lock = threading.Lock()
        self._rate, self._inference, self._latency = Rate(), Window(), Window()
        self.steps = self.skipped = 0

    def step(self, at: float, inference: float, latency: float) -> None:
        with self._lock:
            self.steps += 1
            self._rate.tick(at)
            self._inference.add(inference)
            self._latency.add(latency)

    def skip(self, count: int) -> None:
        """Control periods without a step; those before the first step are the start, not a loss."""
        with self._lock:
            self.skipped += count if self.steps else 0

    def rate(self, now: float) -> float:
        """Steps a second lately; 0 before there are any."""
        with self._lock:
            return self._rate.hz_at(now)

    def values(self, now: float) -> dict[str, object]:
        with self._lock:
            windows = {"period": self._rate.periods, "inference": self._inference, "camera_to_command": self._latency}
            quantiles = {
                f"{name}_p{percent}_ms": 1e3 * window.quantile(percent / 100) for name, window in windows.items() for percent in (50, 99)
            }
            return {"rate_hz": self._rate.hz_at(now)} | quantiles | {"steps": self.steps, "skipped": self.skipped}
