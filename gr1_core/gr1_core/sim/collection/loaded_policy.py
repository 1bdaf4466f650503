"""The policy that drives episodes of a collection, loaded once per process."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gr1_core.policy import Policy


@functools.cache
def load_policy(folder: Path) -> Policy:
    """On one thread, because there are as many processes as cores.

    Call it before OpenGL is loaded: Mesa's LLVM crashed where torch was loaded after it.
    """
    import torch

    from gr1_core.policy import Policy

    torch.set_num_threads(1)
    return Policy.from_pretrained(folder, device="cpu")
