"""The state messages for the pages: clutch, gate, recording and warnings."""

from __future__ import annotations

import logging
import time

from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.pages import RobotView
from gr1_teleop.send_queue import encode

_GATE = ("state", "reason", "source")
_CALL_PULSE = {"kind": "call", "ms": 300, "strength": 1.0}
_CALL_PERIOD_S = 1.0
_log = logging.getLogger(__name__)


class PageState:
    """Call `snapshot` from one thread; it removes the haptic pulses from their queues."""

    def __init__(self, link, episodes: EpisodeControl, view: RobotView):
        self._link, self._episodes, self._view = link, episodes, view
        self._failure = ""
        self._called_at = float("-inf")

    def snapshot(self, operator: dict | None) -> tuple[dict, dict, str]:
        """(state for the operator, state for the watching pages, change mark).

        The change mark differs if anything but the elapsed time has changed. operator: {"device", "kind"} or
        None.
        """
        (status, cameras), link, episodes = (
            self._robot_status(),
            dict(self._link.state()),
            self._episodes.state(),
        )
        pulses = [*link.pop("haptics", ()), *self._episodes.pop_haptics(), *self._call_pulse(status)]
        recorder = status.get("recorder") or {}
        gate = status.get("gate") or {}
        recording = {
            "state": recorder.get("state", ""),
            "instruction": status.get("instruction") or episodes["instruction"],
            "bag": recorder.get("bag", ""),
            "outcome": recorder.get("outcome", ""),
            "seconds": recorder.get("seconds", 0.0),
            "confirm": episodes["confirm"],
            "confirm_why": episodes["confirm_why"],
            "loss": recorder.get("loss", "") if recorder.get("state") == "recording" else "",
            "busy": episodes["busy"],
        }
        if evaluation := status.get("evaluation"):
            # The headset's buttons start and judge a trial as they start and end an episode.
            runs = evaluation["phase"] in ("running", "judge")
            shown = {"state": "recording" if runs else "idle", "seconds": evaluation.get("seconds", 0.0)}
            recording |= shown | {"loss": ""}
        topics = status.get("topics") or []
        warnings = [*status.get("warnings", ()), *([episodes["refusal"]] if episodes["refusal"] else ())]
        if recording["state"] == "recording":
            warnings += [f"{topic['topic']}: {topic['problem']}" for topic in topics if topic.get("problem")]
        state = {
            "type": "state",
            **link,
            "gate": {name: gate.get(name, "") for name in _GATE},
            "recording": recording,
            "counts": recorder.get("episodes", {}),
            "tasks": episodes["tasks"],
            "warnings": warnings,
        }
        changes = {
            name: state.get(name)
            for name in ("clutch", "why", "gripper_waits", "gate", "counts", "tasks", "warnings")
        }
        mark = encode([changes, recording | {"seconds": 0}, operator, pulses])
        return (
            state | {"haptics": pulses},
            state
            | {
                "topics": topics,
                "cameras": cameras,
                "operator": operator,
                "policy": status.get("policy", {}),
                "evaluation": evaluation,
            },
            mark,
        )

    def _call_pulse(self, status: dict) -> list[dict]:
        """While the policy calls, a pulse a second."""
        now = time.monotonic()
        if "call" not in (status.get("policy") or {}) or now - self._called_at < _CALL_PERIOD_S:
            return []
        self._called_at = now
        return [_CALL_PULSE]

    def _robot_status(self) -> tuple[dict, list[str]]:
        """(status, roles of the cameras). A failure is logged once and shown on the pages as long as it
        lasts."""
        try:
            status, cameras = self._view.status(), sorted(self._view.camera_images())
        except Exception as error:
            failure = f"the robot's state cannot be read ({type(error).__name__}: {error}): see the terminal"
            if failure != self._failure:
                _log.exception("the robot's state cannot be read")
            self._failure = failure
            return {"warnings": [failure]}, []
        self._failure = ""
        return status, cameras
