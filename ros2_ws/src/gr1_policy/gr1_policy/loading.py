"""From parameters to a policy that may act: load, compare rigs, warm up. ROS-free."""

from __future__ import annotations

import gc

from gr1_core import Rig, pretrained
from gr1_core.eval import verdict
from gr1_policy import calibration
from gr1_policy.calibration import Calibration

UNTRAINED = "untrained"
"""The checkpoint parameter's value for the small model with seeded random weights."""
DEMO = "demo"
UNTRAINED_WARNING = (
    "checkpoint 'untrained': a small model with seeded random weights acts. It is UNTRAINED: its motions "
    "and predictions mean nothing."
)


_SMALL = 384  # width of the image encoder, the slowest part


class LoadError(ValueError):
    """These parameters give no policy that may act; the text says what to change."""


def checkpoint_name(checkpoint: str, robot: str) -> str:
    """What an empty `checkpoint` means: the shipped policy for robot sim. Raises LoadError for a real robot
    without one.
    """
    if robot == "sim":
        return checkpoint or DEMO
    if checkpoint in ("", UNTRAINED):
        raise LoadError(
            f"robot '{robot}' needs a trained checkpoint: set the parameter 'checkpoint' to a checkpoint "
            "folder"
        )
    return checkpoint


def require_replay(checkpoint: str, ignore: bool) -> None:
    """Refuses a checkpoint that failed its open-loop replay (`gr1 replay`). Raises LoadError."""
    why = verdict.refusal(checkpoint) if checkpoint != UNTRAINED and not ignore else ""
    if why:
        raise LoadError(
            f"{why}. Train on, or set the parameter 'ignore_replay' to true if you know why it moves anyway"
        )


def require_simulation(robot: str, delay: float) -> None:
    """Refuses to slow down the policy of a real arm (`sim.delay_s`, s). Raises LoadError."""
    if delay and robot != "sim":
        raise LoadError(
            f"sim.delay_s is {delay:g} s: slowing the policy down is for robot 'sim' only, not for '{robot}'"
        )


def find_calibration(checkpoint: str, limit: float) -> Calibration | None:
    """The prediction monitor's calibration of a checkpoint; None if it was never calibrated. Raises LoadError
    where a limit needs one.
    """
    found = calibration.load(checkpoint) if checkpoint != UNTRAINED else None
    if limit and not found:
        which = "the untrained model was" if checkpoint == UNTRAINED else f"the weights in {checkpoint} were"
        raise LoadError(
            f"prediction_limit is {limit:g}, but {which} never calibrated: run `gr1 calibrate BAGS "
            "--checkpoint DIR` on undisturbed recordings (the twin: `gr1 calibrate --twin 40 --checkpoint "
            "DIR`), or set prediction_limit to 0"
        )
    return found


def action_std(checkpoint: str) -> list[float] | None:
    """f[7]: standard deviation of a checkpoint's training actions; None where it does not say."""
    from gr1_core.model import checkpoint as checkpoints

    try:
        training = checkpoints.read_training(pretrained.resolve(checkpoint)) or {}
    except ValueError:
        return None
    return (training.get("data") or {}).get("std_action")


def require_monitor(monitor: bool, limit: float) -> None:
    """Refuses a limit that nothing would check. Raises LoadError."""
    if limit and not monitor:
        raise LoadError(
            f"prediction_limit is {limit:g}, but prediction_monitor is false, so nothing would stop the arm: "
            "set prediction_monitor to true, or prediction_limit to 0"
        )


def import_model() -> None:
    """Imports what `load` needs, which takes a second or two. `load` works without it, too."""
    gc.disable()  # a tenth of an import's time
    try:
        import gr1_core.policy  # noqa: F401
    finally:
        gc.enable()


def load(checkpoint: str, rig: Rig, precision: str = "auto", threads: int = 0):
    """A warmed-up policy for `rig`. checkpoint: a folder, a shipped policy's name, or "untrained".

    threads: of the linear algebra; 0: the library's choice, one for a small model. Raises CheckpointError or
    RigError.
    """
    # torch takes seconds to import: refusals that need no torch come before.
    import torch

    from gr1_core import GR1Config, Policy

    if checkpoint != UNTRAINED:
        policy = Policy.from_pretrained(checkpoint, device="auto", precision=precision)
        rig.require_same(policy.rig, f"checkpoint {checkpoint}")
    else:
        policy = Policy.untrained(GR1Config.demo(), rig, seed=0, precision=precision)
    # A small model gains nothing from a second thread, which cameras and physics need.
    if threads or policy.config.vision_width < _SMALL:
        torch.set_num_threads(threads or 1)
    policy.warm_up()
    return policy
