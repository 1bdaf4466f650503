"""What the pages are told: clutch, gate, recording, warnings, put together from those who know."""

from __future__ import annotations

import logging

from gr1_teleop.episodes import Episodes
from gr1_teleop.pages import Watch
from gr1_teleop.send_queue import encode

_GATE = ("state", "reason", "source")
_log = logging.getLogger(__name__)


class States:
    """`now` is called from one thread; it takes the pulses for the hand with it."""

    def __init__(self, link, episodes: Episodes, watch: Watch):
        self._link, self._episodes, self._watch = link, episodes, watch
        self._failure = ""

    def now(self, operator: dict | None) -> tuple[dict, dict, str]:
        """(the operator's state, the watchers' state, a mark that changes when something happened and not merely time went by).

        operator: {"device", "kind"} of whoever drives, None for nobody.
        """
        (status, cameras), link, episodes = self._robot(), dict(self._link.state()), self._episodes.state()
        pulses = [*link.pop("haptics", ()), *self._episodes.haptics()]
        recorder = status.get("recorder") or {}
        gate = status.get("gate") or {}
        recording = {
            "state": recorder.get("state", ""),
            "instruction": status.get("instruction") or episodes["instruction"],
            "bag": recorder.get("bag", ""),
            "outcome": recorder.get("outcome", ""),
            "seconds": recorder.get("seconds", 0.0),
            "confirm": episodes["confirm"],
            "busy": episodes["busy"],
        }
        topics = status.get("topics") or []
        warnings = [*status.get("warnings", ()), *([episodes["refusal"]] if episodes["refusal"] else ())]
        if recording["state"] == "recording":
            warnings += [f"{topic['topic']}: {topic['trouble']}" for topic in topics if topic.get("trouble")]
        state = {
            "type": "state",
            **link,
            "gate": {name: gate.get(name, "") for name in _GATE},
            "recording": recording,
            "counts": recorder.get("episodes", {}),
            "warnings": warnings,
        }
        happened = {
            name: state.get(name) for name in ("clutch", "why", "gripper_waits", "gate", "counts", "warnings")
        }
        mark = encode([happened, recording | {"seconds": 0}, operator, pulses])
        return (
            state | {"haptics": pulses},
            state | {"topics": topics, "cameras": cameras, "operator": operator},
            mark,
        )

    def _robot(self) -> tuple[dict, list[str]]:
        """(status, cameras' roles) as the node says; that it cannot is told once to the log, and to the pages as long as it lasts."""
        try:
            status, cameras = self._watch.status(), sorted(self._watch.pictures())
        except Exception as error:
            failure = f"the robot's state cannot be told ({type(error).__name__}: {error}): see the terminal"
            if failure != self._failure:
                _log.exception("the robot's state cannot be told")
            self._failure = failure
            return {"warnings": [failure]}, []
        self._failure = ""
        return status, cameras
