import os

# Before torch is imported. Several processes at once, on two processors, are slower with more threads each,
# and threads that wait by spinning take the processor from those that they wait for.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest  # noqa: E402

from gr1_core.train import recipe  # noqa: E402

from . import sets  # noqa: E402

# A GR-1 of 0.1 M parameters.
MODEL = {
    "size": "demo",
    "width": 32,
    "layers": 2,
    "heads": 2,
    "mlp_width": 64,
    "image_size": 32,
    "vision_width": 32,
    "vision_layers": 1,
    "vision_heads": 2,
    "resampler_heads": 2,
    "resampler_head_dim": 16,
    "latents": 2,
    "decoder_heads": 2,
    "decoder_layers": 1,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 1,
    "text_dim": 16,
    "window": 4,
    "future_steps": 2,
    "dropout": 0.1,
}
CHANGES = [
    f"model={MODEL}",
    "device=cpu",
    "threads=1",
    "loader_threads=1",
    "precision=fp32",
    "batch=8",
    "steps=6",
    "save_every=2",
    "evaluation.every=4",
    "evaluation.windows=16",
    "evaluation.images=1",
    "held_out=0.2",
]


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory):
    return sets.demonstrations(tmp_path_factory.mktemp("demonstrations"))


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    return sets.videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def small(demonstrations, tmp_path):
    """small(key=value, ...) -> arguments of `gr1 finetune` for a run of seconds, and of recipe.load."""

    def arguments(name: str = "finetune-small", **changes) -> tuple[str, list[str]]:
        given = {"data": demonstrations, "out": tmp_path / "run", "init": "null"} | changes
        return name, CHANGES + [f"{key.replace('__', '.')}={value}" for key, value in given.items()]

    return arguments


@pytest.fixture
def small_recipe(small):
    return lambda *name, **changes: recipe.load(*small(*name, **changes))
