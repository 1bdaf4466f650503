"""The policy on another machine: from the node's parameters to a client of `gr1 serve`. ROS-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gr1_core import Rig
from gr1_core.eval import verdict
from gr1_policy import calibration
from gr1_policy.calibration import Calibration
from gr1_policy.loading import LoadError


def require_no_checkpoint(checkpoint: str, url: str) -> None:
    """Refuses a checkpoint beside a server. Raises LoadError."""
    if checkpoint:
        raise LoadError(
            f"checkpoint is '{checkpoint}' and server is '{url}': the server has a checkpoint of its own, "
            "set one of the two parameters"
        )


def connect(url: str, access_file: str, quality: int, rig: Rig, timeout: float, log: Callable[[str], None]):
    """A connected `RemotePolicy` for `rig`.

    access_file empty: the usual place. timeout: s that a step waits for its answer. log: gets lost and
    renewed connections. Raises RemoteError, AccessError, or RigError for a checkpoint of another rig.
    """
    from gr1_core.remote import access
    from gr1_core.remote.client import RemotePolicy

    rights = access.load(Path(access_file).expanduser() if access_file else access.default_file())
    policy = RemotePolicy(url, rights, quality=quality, timeout=timeout, log=log)
    try:
        rig.require_same(policy.rig, f"checkpoint {policy.hello.checkpoint} on {url}")
    except ValueError:
        policy.close()
        raise
    return policy


def require_replay(policy, ignore: bool) -> None:
    """As `loading.require_replay`, with the server's record of the replay. Raises LoadError."""
    record = policy.hello.records.get(verdict.FILE)
    if record is None or ignore:
        return
    if why := verdict.why_refused(verdict.parse(record), policy.hello.checkpoint):
        raise LoadError(
            f"{why}. Train on, or set the parameter 'ignore_replay' to true if you know why it moves anyway"
        )


def find_calibration(policy, limit: float) -> Calibration | None:
    """As `loading.find_calibration`, with the server's calibration. Raises LoadError."""
    record = policy.hello.records.get(calibration.FILE)
    if record is not None:
        return calibration.parse(record)
    if limit:
        raise LoadError(
            f"prediction_limit is {limit:g}, but the checkpoint of {policy.url} was never calibrated: run "
            "`gr1 calibrate BAGS --checkpoint DIR` on the server's computer and start `gr1 serve` again, or "
            "set prediction_limit to 0"
        )
    return None
