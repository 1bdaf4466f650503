"""Convolutions, grid and words: the parts of the small configuration in place of the paper's."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gr1_core import GR1, GR1Config, Policy, Rig
from gr1_core.bench.policy import random_model, synthetic_observation
from gr1_core.model import checkpoint
from gr1_core.model.config import ConfigError
from gr1_core.model.convolution import ConvEncoder, ConvFilmEncoder
from gr1_core.model.language import END, START, WordEncoder, tokenize
from gr1_core.model.packed_linear import can_pack
from gr1_core.model.resampler import GridResampler
from gr1_core.pretrained import resolve
from gr1_core.sim import instructions
from gr1_core.sim.objects.catalogue import CATEGORIES, NAMED_CATEGORIES
from tests.core import exactness

RIG = Rig.load("kinova_gen2_small")
CONFIG = dataclasses.replace(GR1Config.small(), window=4, layers=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    checkpoint.save(folder, random_model(CONFIG).state_dict(), CONFIG, RIG)
    return folder


def test_the_shipped_size_fits_into_the_repository(tmp_path):
    model = GR1(GR1Config.small())
    checkpoint.save(tmp_path, model.state_dict(), model.config, RIG)
    assert (tmp_path / "model.safetensors").stat().st_size < 20e6


def test_the_shipped_checkpoint_is_whole_acts_and_foresees():
    assert (resolve("demo") / "model.safetensors").stat().st_size < 20e6
    policy = Policy.from_pretrained("demo", device="cpu")
    policy.reset("put the eggplant on the plate")
    action = policy.step(synthetic_observation(policy.rig, 0))
    assert np.isfinite(action.delta).all() and action.future().wrist.shape == (96, 96, 3)


def test_each_step_equals_the_full_window(folder):
    exactness.require_full_window(folder, RIG, steps=6)


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no bf16 product")
def test_bf16_stays_close(folder):
    exactness.require_close_in_bf16(folder, RIG, steps=8)


def test_what_is_seen_elsewhere_changes_the_cells_there():
    encoder = ConvEncoder(CONFIG).eval()
    images = torch.randn(1, 3, 96, 96)
    changed = images.clone()
    changed[:, :, :16, 80:] += 1  # the sixth cell of the first row
    with torch.inference_mode():
        (cls, before), (_, after) = encoder(images), encoder(changed)
    difference = (after - before).norm(dim=-1)[0].reshape(6, 6)
    assert torch.allclose(cls, before.mean(1), atol=1e-6)
    assert difference.argmax() == 5 and difference[3:, :3].max() == 0


def test_film_begins_as_the_identity_and_then_the_sentence_changes_what_is_seen():
    conditioned, plain = ConvFilmEncoder(CONFIG).eval(), ConvEncoder(CONFIG).eval()
    plain.load_state_dict(conditioned.state_dict(), strict=False)
    images, instructions = torch.randn(2, 3, 96, 96), torch.randn(2, CONFIG.text_dim)
    with torch.no_grad():
        assert torch.equal(conditioned(images, instructions)[1], plain(images)[1])
        conditioned.film_layers[0].weight.normal_()
        one, other = (
            conditioned(images[:1], instructions[:1])[1],
            conditioned(images[:1], instructions[1:])[1],
        )
    assert (one - other).abs().max() > 1e-3


def test_each_latent_of_the_grid_reads_its_own_square():
    grid = GridResampler(CONFIG)
    patches = torch.randn(2, 36, CONFIG.vision_width)
    for patch, latent in ((0, 0), (7, 0), (4, 2), (20, 4), (35, 8)):
        changed = patches.clone()
        changed[:, patch] += 1
        with torch.inference_mode():
            moved = (grid(changed) - grid(patches)).abs().amax((0, 2))
        assert moved.nonzero().flatten().tolist() == [latent]


def ids(text: str) -> torch.Tensor:
    return torch.tensor([tokenize(text)])


@pytest.fixture
def words():
    """Words as a run leaves them that knows three instructions."""
    encoder = WordEncoder(CONFIG)
    known = torch.cat([ids(text) for text in ("open the drawer", "close the drawer", "lift the broccoli")])
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0)
    encoder.eval()
    (encoder(known) * torch.randn(3, CONFIG.text_dim)).sum().backward()
    optimizer.step()
    return encoder


def test_words_are_told_apart_and_their_order_is_not(words):
    with torch.inference_mode():
        opened, closed, turned = (
            words(ids(text)) for text in ("open the drawer", "close the drawer", "the drawer open")
        )
    assert torch.allclose(opened, turned) and (opened - closed).norm() > 0.1 * opened.norm()


def test_an_unknown_word_says_nothing(words):
    with torch.inference_mode():
        assert words(ids("hydrogen")).norm() == 0
        assert torch.allclose(words(ids("drawer hydrogen")), words(ids("drawer")) / 2)


def test_a_question_mark_reads_as_a_word_that_nobody_taught(words):
    words.table.data.normal_()
    with torch.inference_mode():
        asked, marked = words(ids("lift the")), words(ids("lift the ?"))
    assert torch.allclose(marked, asked * 2 / 3)


def test_sentences_of_a_batch_do_not_depend_on_each_other(words):
    long, short = ids("lift the broccoli from the plate please"), ids("open")
    with torch.inference_mode():
        assert torch.allclose(words(torch.cat([long, short])), torch.cat([words(long), words(short)]))


def test_no_two_words_of_the_twins_sentences_share_a_row(words):
    nouns = [CATEGORIES[form].noun for form in NAMED_CATEGORIES]
    kinds = {kind: [None] if kind in ("open", "close") else nouns for kind in instructions.KINDS}
    said = {
        text
        for kind, told in kinds.items()
        for noun in told
        for part in instructions.instructions_for(kind, noun)
        for text in part
    }
    ids = torch.tensor(sorted({token for text in said for token in tokenize(text)} - {0, START, END}))
    with torch.no_grad():
        words.table.copy_(torch.arange(words.ROWS)[:, None].expand_as(words.table))
        rows = [words.eval()(torch.tensor([[START, token, END]]))[0, 0].item() for token in ids.tolist()]
    assert len(set(rows)) == len(ids) > 60


def test_words_are_left_out_only_in_training(words):
    instruction = ids("close the drawer").repeat(100, 1)
    with torch.inference_mode():
        assert len(words(instruction).unique(dim=0)) == 1
        assert len(words.train()(instruction).unique(dim=0)) > 1
    model = GR1(CONFIG)
    assert model.train().text.training and not model.eval().text.training


@pytest.mark.parametrize(
    "change, said",
    [
        ({"vision": "cnn"}, "vision is 'cnn', expected vit or conv or conv_film"),
        ({"patch_size": 12}, "patch_size 12 is not a power of two"),
        ({"vision_width": 130}, "vision_width 130 is not divisible by 4"),
        ({"latents": 8}, "latents 8 do not divide 6 x 6 patches"),
        ({"latents": 16}, "latents 16 do not divide 6 x 6 patches"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        dataclasses.replace(CONFIG, **change)


def test_a_configuration_that_names_no_kinds_is_of_the_papers(tmp_path):
    raw = {
        key: value
        for key, value in GR1Config.demo().to_dict().items()
        if key not in ("vision", "resampler", "text")
    }
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert GR1Config.load(tmp_path / "config.json") == GR1Config.demo()
