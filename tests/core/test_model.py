"""The model's structure: sizes, masks, modes."""

import pytest
import torch

from gr1_core import GR1, GR1Config
from gr1_core.bench.policy import TOKENS, random_model
from gr1_core.model import patches
from gr1_core.model.config import ConfigError
from gr1_core.model.language import token_tensor

CONFIG = GR1Config.demo()


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG)


def window(steps=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 1, steps, 3, CONFIG.image_size, CONFIG.image_size, generator=random)
    gripper = torch.where(torch.rand(1, steps, generator=random) > 0.5, 1.0, -1.0)
    return dict(
        language=token_tensor(TOKENS),
        static=images[0],
        wrist=images[1],
        arm=torch.randn(1, steps, 6, generator=random),
        gripper=gripper,
    )


def test_the_papers_configuration_has_the_papers_parameters():
    with torch.device("meta"):
        assert GR1(GR1Config.paper()).parameter_counts() == (195_290_056, 45_988_039)


def test_a_step_does_not_see_later_steps(model):
    inputs = window()
    changed = {key: value.clone() for key, value in inputs.items()}
    for key in ("static", "wrist", "arm"):
        changed[key][:, 3] += 1
    with torch.inference_mode():
        before, after = model(**inputs), model(**changed)
    for name in ("arm", "gripper_logit", "static", "wrist"):
        was, now = getattr(before, name), getattr(after, name)
        assert torch.allclose(was[:, :3], now[:, :3], atol=1e-5)
        assert not torch.allclose(was[:, 3], now[:, 3], atol=1e-2)


def test_what_is_predicted_does_not_depend_on_what_else_is_asked_for(model):
    inputs = window()
    with torch.inference_mode():
        everything = model(**inputs)
        for target, names in (
            ("action", ["arm", "gripper_logit"]),
            ("static", ["static"]),
            ("wrist", ["wrist"]),
        ):
            alone = model(**inputs, targets={target})
            for name in names:
                assert torch.allclose(getattr(alone, name), getattr(everything, name), atol=1e-5)
            assert sum(value is not None for value in vars(alone).values()) == len(names)


def test_invalid_steps_change_nothing_before_them(model):
    inputs = window(4)
    with torch.inference_mode():
        short = model(**{key: value if key == "language" else value[:, :2] for key, value in inputs.items()})
        padded = model(**inputs, valid=torch.tensor([[True, True, False, False]]))
    assert torch.allclose(short.arm, padded.arm[:, :2], atol=1e-5)
    assert torch.allclose(short.static, padded.static[:, :2], atol=1e-4)
    assert torch.isfinite(padded.arm).all()


def test_videos_need_neither_state_nor_wrist_camera_nor_actions(model):
    inputs = window()
    prediction = model(inputs["language"], inputs["static"], targets={"static"})
    assert prediction.static.shape == (1, 4, CONFIG.patches, CONFIG.patch_dim) and prediction.arm is None
    prediction.static.square().mean().backward()
    used = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    assert {"query.static", "embed_cls.static.weight", "decoder.mask_token", "embed_time"} <= used
    assert not any(
        name.startswith(
            (
                "query.action",
                "query.wrist",
                "embed_arm",
                "embed_patches.wrist",
                "action_head",
                "text",
                "vision",
            )
        )
        for name in used
    )


def test_the_encoders_are_frozen_and_never_in_training_mode():
    model = GR1(CONFIG).train()
    assert model.transformer.training and not model.vision.training and not model.text.training
    assert not any(
        parameter.requires_grad for part in (model.text, model.vision) for parameter in part.parameters()
    )


@pytest.mark.parametrize(
    "call, said", [({"targets": {"depth"}}, "depth"), ({"targets": set()}, "expected some")]
)
def test_unknown_targets_are_refused(model, call, said):
    with pytest.raises(ValueError, match=said):
        model(**window(), **call)


def test_a_window_that_is_too_long_is_refused(model):
    with pytest.raises(ValueError, match="11 steps"):
        model(**window(11))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"heads": 7}, "not divisible by heads 7"),
        ({"layers": 0}, "layers is 0"),
        ({"dropout": 1.5}, "dropout is 1.5"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        GR1Config(**change)


def test_patches_and_images_are_the_same_pixels():
    images = torch.randn(2, 3, 64, 64)
    tiles = patches.patchify(images, 16)
    assert torch.equal(patches.unpatchify(tiles, 16), images)
    # Row by row, channel fastest.
    assert torch.equal(tiles[0, 5, :3], images[0, :, 16, 16])


def test_targets_have_mean_zero_and_the_unbiased_deviation_one():
    tiles = patches.targets(torch.randn(1, 3, 32, 32) * 5 + 2, 16)
    assert tiles.mean(-1).abs().max() < 1e-5 and (tiles.std(-1) - 1).abs().max() < 1e-5


def test_preprocessing_is_undone_to_the_last_bit():
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(patches.to_pixels(patches.preprocess(images, 32)), images)
