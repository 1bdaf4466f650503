"""A policy whose motion is known: the small seeded model, its last layer replaced by one answer."""

from __future__ import annotations

from pathlib import Path

from gr1_core.rig import Rig

AWAY = (0.0, 1.0, 0.0)
"""Base frame: from the home pose this leaves the arm half a metre of room."""


def save(folder: Path, rig: Rig) -> None:
    """Writes a checkpoint that moves at the rig's full speed in the direction AWAY, hand open, whatever it
    sees.
    """
    import torch

    from gr1_core import GR1, GR1Config
    from gr1_core.model import checkpoint

    torch.manual_seed(0)
    model = GR1(GR1Config.demo())
    head, speed = model.action_head, rig.limits.linear_speed * rig.period / rig.action.translation_scale
    with torch.no_grad():
        for layer in (head.arm, head.gripper):
            layer.weight.zero_()
        head.arm.bias.copy_(torch.tensor([speed * part for part in AWAY] + [0.0] * 3))
        head.gripper.bias.fill_(1.0)
    checkpoint.save(folder, model.state_dict(), model.config, rig)
