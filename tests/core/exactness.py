"""How near the runtime is to the plain computation, for any checkpoint folder."""

import numpy as np

from gr1_core import Policy
from gr1_core.bench.policy import TOKENS, PlainLoop, synthetic_observation
from gr1_core.model import checkpoint


def require_full_window(folder, rig, steps: int) -> None:
    """Each cached step in fp32 gives what the whole window gives."""
    plain = PlainLoop(*checkpoint.load(folder))
    policy = Policy.from_pretrained(folder, device="cpu", precision="fp32")
    policy.reset(TOKENS)
    for step in range(steps):
        delta, logit = plain.step(synthetic_observation(rig, step))
        action = policy.step(synthetic_observation(rig, step))
        assert np.abs(action.delta - delta).max() < 3e-5
        assert abs(action.gripper_logit - logit) < 1e-4


def require_close_in_bf16(folder, rig, steps: int) -> None:
    """Rounded to bf16 the actions are others, but by less than a tenth of their deviation."""
    exact, fast = (
        Policy.from_pretrained(folder, device="cpu", precision=precision) for precision in ("fp32", "bf16")
    )
    exact.reset(TOKENS)
    fast.reset(TOKENS)
    deltas = np.array(
        [
            [policy.step(synthetic_observation(rig, step)).delta for policy in (exact, fast)]
            for step in range(steps)
        ]
    )
    error = np.sqrt(np.mean((deltas[:, 0] - deltas[:, 1]) ** 2))
    assert 0 < error < 0.1 * deltas[:, 0].std()
