"""Where the node's policy comes from: a checkpoint on this computer, or a server. ROS-free."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gr1_core import Rig
from gr1_policy import loading, server_policy
from gr1_policy.calibration import Calibration


@dataclass(frozen=True)
class PolicySource:
    """name: of the checkpoint, for the log. find_calibration(limit): `loading.find_calibration` of it.
    remote: whether it is a `RemotePolicy`."""

    policy: object
    name: str
    find_calibration: Callable[[float], Calibration | None]
    remote: bool = False

    @property
    def runs_on(self) -> str:
        """Where it computes and how fast, for people."""
        if self.remote:
            return "on the server"
        describe = getattr(self.policy, "describe", None)
        return describe() if describe else "this computer"

    def close(self) -> None:
        """Ends the connection to a server."""
        if self.remote:
            self.policy.close()


def open_source(value: Mapping, rig: Rig, load: Callable, log: Callable[[str], None]) -> PolicySource:
    """The policy that the node's parameters name (`policy_parameters`), checked as far as they ask for it.

    load: as `loading.load`. log: gets lost and renewed connections. Raises ValueError or OSError.
    """
    loading.require_simulation(value["robot"], value["sim.delay_s"])
    loading.require_monitor(value["prediction_monitor"], value["prediction_limit"])
    return _remote(value, rig, log) if value["server"] else _local(value, rig, load)


def _local(value: Mapping, rig: Rig, load: Callable) -> PolicySource:
    checkpoint = loading.checkpoint_name(value["checkpoint"], value["robot"])
    if value["act"]:
        loading.require_replay(checkpoint, value["ignore_replay"])
    find_calibration = functools.partial(loading.find_calibration, checkpoint)
    find_calibration(value["prediction_limit"])
    return PolicySource(
        load(checkpoint, rig, value["precision"], value["threads"]), checkpoint, find_calibration
    )


def _remote(value: Mapping, rig: Rig, log: Callable[[str], None]) -> PolicySource:
    url = value["server"]
    server_policy.require_no_checkpoint(value["checkpoint"], url)
    timeout = value["max_action_age_periods"] * rig.period
    policy = server_policy.connect(
        url, value["server_access"], value["server_jpeg_quality"], rig, timeout, log
    )
    try:
        if value["act"]:
            server_policy.require_replay(policy, value["ignore_replay"])
        find_calibration = functools.partial(server_policy.find_calibration, policy)
        find_calibration(value["prediction_limit"])
    except Exception:
        policy.close()
        raise
    return PolicySource(policy, f"{policy.hello.checkpoint} on {url}", find_calibration, remote=True)
