"""From a parameter to a policy that may act: load, compare rigs, warm up. Each refusal says what is wrong and what to do. No ROS import."""

from __future__ import annotations

from gr1_core import Rig
from gr1_core.eval import verdict
from gr1_policy import calibration
from gr1_policy.prediction_monitor import Usual

UNTRAINED = "no checkpoint given: a small model with seeded random weights acts. It is UNTRAINED: its motions and predictions mean nothing."


_SMALL = 384  # width of the image encoder, which is where the time goes


class LoadError(ValueError):
    """No policy can be had from these parameters."""


def require_replay(checkpoint: str, ignore: bool) -> None:
    """Refuses to let a checkpoint move an arm that failed its open-loop replay (`gr1 replay`). Raises LoadError."""
    why = verdict.refusal(checkpoint) if checkpoint and not ignore else ""
    if why:
        raise LoadError(
            f"{why}. Train on, or set the parameter 'ignore_replay' to true if you know why it moves anyway"
        )


def require_simulation(robot: str, delay: float) -> None:
    """Refuses to make the policy of a real arm slower (`sim.delay_s`, s). Raises LoadError."""
    if delay and robot != "sim":
        raise LoadError(
            f"sim.delay_s is {delay:g} s: slowing the policy down is for robot 'sim' only, not for '{robot}'"
        )


def usual(checkpoint: str, limit: float) -> Usual | None:
    """What the prediction monitor may expect of a checkpoint; None if it was never calibrated. Raises LoadError where a limit needs it."""
    found = calibration.load(checkpoint) if checkpoint else None
    if limit and not found:
        which = f"the weights in {checkpoint} were" if checkpoint else "the untrained demo model was"
        raise LoadError(
            f"prediction_limit is {limit:g}, but {which} never calibrated: run `python -m gr1_policy.calibrate BAGS --checkpoint DIR` on "
            "undisturbed recordings, or set prediction_limit to 0"
        )
    return found


def require_monitor(monitor: bool, limit: float) -> None:
    """Refuses a limit that nothing would look at. Raises LoadError."""
    if limit and not monitor:
        raise LoadError(
            f"prediction_limit is {limit:g}, but prediction_monitor is false, so nothing would stop the arm: "
            "set prediction_monitor to true, or prediction_limit to 0"
        )


def load(checkpoint: str, rig: Rig, robot: str, precision: str = "auto", threads: int = 0):
    """A warmed-up policy for `rig`. checkpoint: a folder; empty: the seeded untrained demo model, for the simulated robot only.

    threads: of the linear algebra; 0: the library's choice, one for a small model. Raises LoadError, CheckpointError or RigError.
    """
    if not checkpoint and robot != "sim":
        raise LoadError(
            f"robot '{robot}' needs a trained checkpoint: set the parameter 'checkpoint' to a checkpoint folder"
        )
    # torch takes seconds to import: the refusal above comes at once.
    import torch

    from gr1_core import GR1Config, Policy

    if checkpoint:
        policy = Policy.from_pretrained(checkpoint, device="auto", precision=precision)
        rig.require_same(policy.rig, f"checkpoint {checkpoint}")
    else:
        policy = Policy.untrained(GR1Config.demo(), rig, seed=0, precision=precision)
    # A small model gains nothing from a second thread, and would only take it from cameras and physics.
    if threads or policy.config.vision_width < _SMALL:
        torch.set_num_threads(threads or 1)
    policy.warm_up()
    return policy
