"""GR-1 at control rate: one thread takes the steps, a second one checks the inputs. ROS-free.

Nothing moves on old data. When a stream goes stale in motion, one zero twist is sent at once, and no more
commands until the stream is back. An action whose frames are too old when it is ready is not sent. After a
gap between frames the policy's history starts again, since it was not trained on windows with holes.
Where the prediction monitor sees something that the model did not expect, it calls the operator before it
stops the arm (`operator_call`). docs/explanation/policy_runtime.md has the details.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.spatial.transform  # noqa: F401  else the rig imports it in the first step

from gr1_core.chunks import ChunkDisagreement
from gr1_policy import operator_call
from gr1_policy.demonstrator import Demonstrator
from gr1_policy.inputs import Inputs, Sample, is_newer
from gr1_policy.operator_call import OperatorCall
from gr1_policy.prediction_monitor import PredictionMonitor
from gr1_policy.statistics import Statistics

CHECK_PERIOD_S = 0.01
# Control periods that a step may wait for a late frame: the command before it expires after 1.5 periods.
FRAME_WAIT_PERIODS = 0.25
_CLOCK_REST = 2.5  # control periods; a command expires after 1.5
NEW_ROLLOUT = ""


@dataclass(frozen=True)
class Step:
    """One step, for viewers. `index` counts from 0 since the history was cleared; views are the model's
    input, u8[h, w, 3].

    stamp: of the older frame; sent: when the command was sent; both in seconds of the stamps' clock.
    """

    index: int
    stamp: float
    sent: float
    views: dict[str, np.ndarray]
    future: object | None


class Output(Protocol):
    """Receives a controller's results; every call comes from one of its threads."""

    def now(self) -> float:
        """Seconds on the stamps' clock."""

    def send_command(self, linear: np.ndarray, angular: np.ndarray, closure: float) -> None:
        """One command: m/s and rad/s in the base frame; closure 0 open .. 1 closed."""

    def send_rest(self) -> None:
        """A zero twist."""

    def stop_arm(self, reason: str) -> None:
        """Stops the arm until a person resets it. Must return at once."""

    def slow_policy(self, slow: bool) -> bool:
        """Asks the arm's gate to carry out the policy's commands at half speed, or fully again; False where
        nobody can be asked. Must return at once; the answer comes by `OperatorCall.on_slowed`.
        """

    def wants_future(self) -> bool:
        """Whether there is a viewer of predicted frames."""

    def publish_step(self, step: Step) -> None:
        """Gets each step after its command was sent. Must return at once."""

    def report_failure(self, error: str) -> None:
        """A step failed."""

    def fault_changed(self) -> None:
        """The inputs became unusable or usable again, or the prediction monitor has halted the policy."""


class TooSlow(TimeoutError):
    """An action that was too old when it was ready."""


def time_until_due(stamp: float, now: float, period: float) -> float:
    """s until the frames of `stamp` are one control period old and their action is sent; at most a period."""
    return min(max(stamp + period - now, 0.0), period)


class Controller:
    """Acts between `start()` and `stop()`. `act` False: takes every step, but sends nothing.

    max_gap: s between the frames of two steps; more clears the history. max_action_age: age of the frames in
    s above which their action is not sent. blend: s from the first command after `start` over which twists
    grow to their full length. monitor: compares predicted frames with real ones; None: off.
    decode_early: predict frames while an action waits for its time; false where that may take any time.
    call: of the operator; None: the monitor stops the arm at once. demonstrator: whom a policy that does not
    act is compared with.
    """

    def __init__(
        self,
        policy,
        rig,
        inputs: Inputs,
        output: Output,
        *,
        max_gap: float,
        max_action_age: float,
        blend: float = 0.0,
        monitor: PredictionMonitor | None = None,
        act: bool = True,
        instruction: str = "",
        decode_early: bool = True,
        call: OperatorCall | None = None,
        demonstrator: Demonstrator | None = None,
    ):
        # It imports torch, which takes seconds: a node with wrong parameters must say so before.
        from gr1_core import Observation

        self._observation = Observation
        self._policy, self._rig, self._inputs, self._output, self._act = policy, rig, inputs, output, act
        self._max_gap, self._max_action_age, self._monitor = max_gap, max_action_age, monitor
        self._blend, self._first_sent = blend, None
        self.instruction, self._decode_early = instruction, decode_early
        self.call = call or OperatorCall(0.0)
        self._person_drove, self._demonstrator = False, demonstrator
        self.statistics = Statistics()
        self._disagreement = ChunkDisagreement()
        self.fault, self.error, self.halted = "", "", ""
        self.delay = 0.0
        """s by which each step is made longer, to simulate a model that is too slow."""
        # Held while sending: the watch thread's zero twist must not be followed by a command that was
        # computed before it.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        # Why the history must be cleared before the next step; None: it need not.
        self._restart: str | None = NEW_ROLLOUT
        self._moving = False
        self._used: dict[str, float] = {}
        self._index, self._decoding = 0, 0.0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._answer(operator_call.ENDED)
        self._output.slow_policy(False)  # whatever a policy before this one has left
        self._ended.clear()
        self._restart, self._index, self.halted, self._first_sent = NEW_ROLLOUT, 0, "", None
        self.statistics = Statistics()
        self._threads = [
            threading.Thread(target=run, name=run.__name__, daemon=True)
            for run in (self._control, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Sends nothing more but one zero twist (if this controller acts), at once, and ends the threads."""
        with self._lock:
            running = bool(self._threads) and not self._ended.is_set()
            self._ended.set()
            if running and self._act:
                self._output.send_rest()
            self._moving = False
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._answer(operator_call.ENDED)

    def instruct(self, text: str) -> None:
        """A new rollout: clears the history at the next step; an action in computation is dropped."""
        with self._lock:
            self.instruction, self._restart, self.halted = text, NEW_ROLLOUT, ""
        self._answer(operator_call.ENDED)

    def confirm(self) -> str:
        """A person has looked: the policy goes on at full speed. Returns why it called, "" if it did not."""
        if not (reason := self._answer(operator_call.CONFIRMED)):
            return ""
        self._monitor.reset()
        return reason

    def on_person(self) -> None:
        """A person commands the arm: that answers a call, and no call is made until the person lets go."""
        self.call.on_person()
        self._answer(operator_call.TAKEN_OVER)

    def _answer(self, state: str) -> str:
        if reason := self.call.answer(state):
            self._output.slow_policy(False)
        return reason

    def interrupt(self, reason: str) -> None:
        """Brings the arm to rest at once, and clears the history; an action in computation is dropped."""
        with self._lock:
            self._halt(reason)

    # The control thread

    def _control(self) -> None:
        period, due = self._rig.period, time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            if self.instruction and not self.halted:
                if self._clock_was_set_back():
                    # Until the last command has expired in the arm's gate too, so that the rest is the same
                    # at every time.
                    self._ended.wait(_CLOCK_REST * period)
                self._inputs.await_new_pair(self._used, FRAME_WAIT_PERIODS * period)
                self._period(due + period)
            due += period
            # Locked to the grid: after a late step the next one is on time; periods without a step are
            # counted.
            gone = max(0, round((time.monotonic() - due) / period))
            due += gone * period
            self.statistics.skip(gone)

    def _clock_was_set_back(self) -> bool:
        """Stops the arm in that case, and forgets the used frames: new ones would look older until the clock
        has caught up.
        """
        now = self._output.now()
        if not any(stamp - now > self._rig.cameras[name].max_age for name, stamp in self._used.items()):
            return False
        self._used = {}
        with self._lock:
            self._halt("the clock was set back")
        return True

    def _period(self, until: float) -> None:
        # The check comes first: it knows whether every stream has delivered.
        if self._check_inputs() or not is_newer(samples := self._inputs.step_input(), self._used):
            return self.statistics.skip(1)
        try:
            self._step(samples, until)
            self.error = ""
        except Exception as error:  # whatever fails: the arm must stop and the user must read why
            if isinstance(error, TimeoutError):
                self.statistics.too_late()
            self.error = str(error) or repr(error)
            self.statistics.skip(1)
            with self._lock:
                self._halt(self.error)
            self._output.report_failure(self.error)

    def _step(self, samples: Mapping[str, Sample], until: float) -> None:
        began = time.monotonic()
        frames = {name: samples[name] for name in self._rig.cameras}
        stamp = min(sample.stamp for sample in frames.values())
        self._begin(frames)
        views = {name: self._rig.cameras[name].view(sample.value) for name, sample in frames.items()}
        if self._monitor and self._must_stop(stamp, views):
            return
        position, quaternion = samples["arm"].value
        state = self._rig.state_vector(position, quaternion, samples["gripper"].value)
        arm = state[:6].astype(np.float64)
        images = {name: sample.value for name, sample in frames.items()}
        action = self._policy.step(
            self._observation(
                static=images["static"], wrist=images.get("wrist"), arm=arm, gripper=float(state[6])
            )
        )
        self._used = {name: sample.stamp for name, sample in frames.items()}
        if self.delay:
            self._ended.wait(self.delay)
        if not np.all(np.isfinite(action.delta)):
            raise ArithmeticError(f"the policy's action is not finite: {np.asarray(action.delta).tolist()}")
        linear, angular = self._rig.twist(action.delta, arm)
        spent = time.monotonic() - began
        # The same delay as in training, on every computer: the policy brakes for motion that is still to
        # come.
        due = time.monotonic() + time_until_due(stamp, self._output.now(), self._rig.period)
        future = self._predict_frames(action, due) if self._decode_early else None
        self._ended.wait(max(due - time.monotonic(), 0.0))
        with self._lock:
            if self._ended.is_set() or self._restart is not None:
                return  # a new rollout has begun or the arm was stopped meanwhile: this action is void
            done = time.monotonic()
            self._require_recent(frames, done, spent)
            if self._act:
                share = self._share(done)
                self._output.send_command(share * linear, share * angular, 0.0 if action.gripper > 0 else 1.0)
                self._moving = True
        if self._demonstrator:
            self._demonstrator.compare(done, action.delta, action.gripper, state)
        sent = self._output.now()
        self.statistics.step(done, spent, sent - stamp, self._disagreement.update(action))
        future = future or self._predict_frames(action, until)
        if future is None:
            # One slow decoding (such as the first) must not end the predictions for good.
            self._decoding *= 0.9
        elif self._monitor:
            self._monitor.add_prediction(stamp, {name: getattr(future, name) for name in frames})
        self._output.publish_step(Step(self._index, stamp, sent, views, future))
        self._index += 1

    def _share(self, now: float) -> float:
        """How much of a command is sent: a policy that has just been activated does not jump off."""
        if self._first_sent is None:
            self._first_sent = now
        since = now - self._first_sent
        return since / self._blend if since < self._blend else 1.0

    def _begin(self, frames: Mapping[str, Sample]) -> None:
        """Clears the history where these frames do not continue it."""
        with self._lock:
            restart, self._restart, instruction = self._restart, None, self.instruction
        if restart is None:
            gap = max(one.stamp - self._used[name] for name, one in frames.items())
            if gap > 1.5 * self._rig.period:
                self._disagreement.reset()  # a period without a step: earlier chunks are one step off
            if gap <= self._max_gap:
                return
            restart = (
                f"{1e3 * gap:.0f} ms between the frames of two steps, {1e3 * self._max_gap:.0f} ms allowed"
            )
        if restart != NEW_ROLLOUT:
            self.statistics.restart(restart)
        self._policy.reset(instruction)
        self._disagreement.reset()
        self._index = 0
        if self._monitor:
            self._monitor.reset()

    def _require_recent(self, frames: Mapping[str, Sample], steady: float, spent: float) -> None:
        age = max(sample.age(self._output.now(), steady) for sample in frames.values())
        if age > self._max_action_age:
            raise TooSlow(
                f"the model is too slow: its action was ready {1e3 * age:.0f} ms after its frames, "
                f"{1e3 * self._max_action_age:.0f} ms allowed; the step took {1e3 * spent:.0f} ms of a "
                f"control period of {1e3 * self._rig.period:.0f} ms"
            )

    def _must_stop(self, stamp: float, views: Mapping[str, np.ndarray]) -> bool:
        """Shows the monitor these frames; calls the operator, or stops the arm, which is True."""
        drives, drove = self.call.person_drives, self._person_drove
        self._person_drove = drives
        if drove and not drives:
            self._monitor.reset()  # what a person has changed is not compared with what was before
        reason = self._monitor.add_frames(stamp, views)
        if not reason or not self._act or drives or self.call.call:
            return False
        if self.call.begin(reason):
            if self._output.slow_policy(True):
                return False
            self.call.answer(operator_call.LATCHED)
        self._latch(reason)
        return True

    def _latch(self, reason: str) -> None:
        with self._lock:
            if self._restart is None and not self._ended.is_set():
                self._stop_arm(reason)
        self._output.fault_changed()

    def _end_overdue_call(self) -> None:
        """Stops the arm, also one that rests already for another reason."""
        if not (reason := self.call.overdue()):
            return
        with self._lock:
            if self._ended.is_set() or not self._answer(operator_call.LATCHED):
                return  # it was answered in this moment
            self._stop_arm(reason)
        self._output.fault_changed()

    def _stop_arm(self, reason: str) -> None:
        self.halted = reason
        self._halt(reason)
        self._output.stop_arm(reason)

    def _predict_frames(self, action, until: float):
        """The predicted frames, if they are wanted and likely to be ready by `until`; else None."""
        began = time.monotonic()
        wanted = self._policy.config.predicts_frames and (self._monitor or self._output.wants_future())
        if not wanted or began + self._decoding >= until:
            return None
        try:
            return action.future()
        except TimeoutError:  # frames that a server does not send in time concern viewers, not the arm
            return None
        finally:
            self._decoding = time.monotonic() - began

    # The watch thread

    def _watch(self) -> None:
        while not self._ended.wait(CHECK_PERIOD_S):
            self._check_inputs()
            self._end_overdue_call()

    def _check_inputs(self) -> str:
        """The present fault; a fault stops the arm."""
        with self._lock:
            before, self.fault = self.fault, self._inputs.fault(self._output.now(), time.monotonic())
            if self.fault:
                self._halt(self.fault)
        if bool(before) != bool(self.fault):
            self._output.fault_changed()
        return self.fault

    def _halt(self, reason: str) -> None:
        if self._restart is None:
            self._restart = reason
        if self._moving and not self._ended.is_set():
            self._output.send_rest()
        self._moving = False
