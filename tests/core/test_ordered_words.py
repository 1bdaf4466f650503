"""The text encoder that reads the order of trained words."""

import pytest
import torch

from gr1_core.model.config import GR1Config
from gr1_core.model.language import OrderedWordEncoder, WordEncoder, tokenize

CONFIG = GR1Config.small()
BESIDE = ("the eggplant beside the plate", "the plate beside the eggplant")


def ids(*texts: str) -> torch.Tensor:
    return torch.tensor([tokenize(text) for text in texts])


def trained(texts: tuple[str, ...], targets: torch.Tensor, steps: int = 200) -> OrderedWordEncoder:
    torch.manual_seed(0)
    encoder = OrderedWordEncoder(CONFIG).train()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        (encoder(ids(*texts)) - targets).square().mean().backward()
        optimizer.step()
    return encoder.eval()


@pytest.fixture(scope="module")
def encoder():
    return trained(("open the drawer", "close the drawer", "lift the broccoli"), torch.randn(3, 64))


def test_untrained_it_is_a_bag_of_words():
    torch.manual_seed(0)
    ordered, words = OrderedWordEncoder(CONFIG).eval(), WordEncoder(CONFIG).eval()
    ordered.table.data.normal_()
    words.table.data.copy_(ordered.table)
    with torch.inference_mode():
        assert torch.allclose(ordered(ids(*BESIDE)), words(ids(*BESIDE)), atol=1e-6)


def test_the_same_words_in_another_order_can_be_told_apart():
    targets = torch.zeros(2, 64)
    targets[0, 0], targets[1, 0] = 1.0, -1.0
    encoder = trained(BESIDE, targets)
    with torch.inference_mode():
        first, second = encoder(ids(*BESIDE))[:, 0].tolist()
    assert first > 0.7 and second < -0.7


def test_unknown_words_say_nothing(encoder):
    with torch.inference_mode():
        alone, unknown, marked = encoder(ids("lift the broccoli", "lift the hydrogen", "lift the ?"))
        assert encoder(ids("hydrogen")).norm() == 0
    assert torch.allclose(unknown, marked, atol=1e-6) and not torch.allclose(alone, unknown, atol=1e-2)


def test_instructions_of_a_batch_do_not_depend_on_each_other(encoder):
    long, short = ids("lift the broccoli from the plate please"), ids("open")
    with torch.inference_mode():
        together = encoder(torch.cat([long, short]))
        assert torch.allclose(together, torch.cat([encoder(long), encoder(short)]), atol=1e-6)
