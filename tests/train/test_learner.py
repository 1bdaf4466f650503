"""One optimizer step: what stops it, what it changes, what the averages are."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows
from gr1_core.model import precision
from gr1_core.train import cpu_tuning, evaluation, memory, setup, weights
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.learner import Learner
from gr1_core.train.run_folder import RunFolder, TrainingError
from gr1_core.train.setup import train
from gr1_core.train.trainer import Trainer

CPU = torch.device("cpu")


def learner_of(recipe) -> Learner:
    model, _ = weights.initial_model(recipe)
    return Learner(recipe, model, Accelerator(cpu=True), bf16=False)


def gradients(learner: Learner, recipe, poison: float | None = None):
    inputs = memory.noise_inputs(learner.objective, recipe, CPU, 2)
    if poison is not None:
        inputs.action[0, 0, 0] = poison
    return learner.add_gradients([inputs], 1, (8, 8, 0), seed=0)


# NaN


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_changes_nothing(small_recipe, poison):
    """Without the host having looked at it: on a GPU the next step is launched before it does."""
    recipe = small_recipe()
    learner = learner_of(recipe)
    learner.update(gradients(learner, recipe), 0, 1e-3, False)
    before = {name: value.detach().clone() for name, value in learner.state().items()}
    record = learner.update(gradients(learner, recipe, poison), 1, 1e-3, False)
    after = learner.state()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    sums, _, norm, norms = record.read()
    assert not np.isfinite([*sums, norm]).all() and len(norms) == len(learner.trained)


def test_results_that_are_read_late_stop_the_run_before_anything_is_saved(
    small_recipe, tmp_path, monkeypatch
):
    """As on a GPU: step 2's NaN is read after step 3, and neither state nor checkpoint is of a later step."""
    add = Learner.add_gradients

    def poisoned(self, micro_batches, number, counts, seed):
        summed = add(self, micro_batches, number, counts, seed)
        self.steps = getattr(self, "steps", -1) + 1
        if self.steps == 2:
            next(iter(self.trained.values())).grad.fill_(float("nan"))
        return summed

    prepare = setup.prepare_run

    def late(*arguments):
        trainer = prepare(*arguments)
        trainer.reads_late = True
        return trainer

    monkeypatch.setattr(Learner, "add_gradients", poisoned)
    monkeypatch.setattr(setup, "prepare_run", late)
    with pytest.raises(TrainingError, match="step 2: .*gradient norm nan; not finite are the gradients of"):
        train(small_recipe(save_every=2))
    assert [path.stem for path in RunFolder(tmp_path / "run").states()] == ["00000002"]
    report = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert report["step"] == 2 and len(report["gradients"]) == 1 and report["weights"] == []


def test_a_nan_of_any_process_reaches_the_sum():
    summed = evaluation.add_counters([Counter(arm=1.0, wrist=-2.0), Counter(arm=float("nan"), wrist=-1.0)])
    assert np.isnan(summed["arm"]) and summed["wrist"] == -3.0


def test_held_out_losses_that_are_not_finite_stop_the_run(small_recipe, monkeypatch):
    monkeypatch.setattr(Trainer, "_add_up", lambda self, sums: sums + Counter(arm=float("inf")))
    with pytest.raises(TrainingError, match="held-out losses arm are not finite"):
        train(small_recipe())


# Averages


def test_averages_are_the_exponential_mean_from_the_initial_weights(small_recipe):
    recipe = small_recipe(**{"optimizer.ema": 0.9})
    learner = learner_of(recipe)
    expected = {name: value.detach().clone() for name, value in learner.trained.items()}
    for step in range(3):
        learner.update(gradients(learner, recipe), step, 1e-2, False)
        decay = min(0.9, (2 + step) / (11 + step))
        for name, value in learner.trained.items():
            expected[name] = torch.lerp(expected[name], value.detach(), 1 - decay)
    found = learner.average.tensors
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    name, own = next((name, value.detach().clone()) for name, value in learner.trained.items())
    with learner.averaged():
        assert torch.equal(learner.trained[name], expected[name])
    assert torch.equal(learner.trained[name], own)


# Precision and masks


def test_bf16_is_chosen_only_where_the_gpu_has_it(monkeypatch):
    """Volta and Turing emulate bf16, and say that they support it."""
    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, native=native: including_emulation or native,
        )
        assert precision.best_precision(torch.device("cuda")) == expected


@pytest.mark.parametrize(
    "avx512, amx, expected", [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_bf16_is_chosen_only_where_the_cpu_has_it(monkeypatch, avx512, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision.best_precision(CPU) == expected


def test_fp32_means_fp32_also_in_a_gpus_convolutions():
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        cpu_tuning.configure(torch.device("cuda"), None, "bf16")
        assert torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "high"
        cpu_tuning.configure(torch.device("cuda"), None, "fp32")
        assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def test_padded_windows_need_no_mask_and_give_the_same_gradients(small_recipe, demonstrations):
    """Missing steps come last: with causal attention the mask of the published code changes nothing."""
    recipe = small_recipe(**{"model.dropout": 0})
    windows = Windows(Dataset(demonstrations), None, 4, 2)
    learner = learner_of(recipe)
    inputs = memory.noise_inputs(learner.objective, recipe, CPU, 2)
    batch = windows.batch([int(windows.dataset.episodes["end"][0]) - 2, 0])
    inputs.valid, inputs.future = torch.from_numpy(batch.valid), torch.from_numpy(batch.future)
    assert not batch.valid.all()
    results, predict = [], learner.model.predict
    for valid in (None, inputs.valid):

        def masked(*arguments, valid=valid, **named):
            return predict(*arguments, **named | {"valid": valid})

        learner.model.predict = masked
        sums = learner.add_gradients([inputs], 1, (8, 8, 0), seed=0)
        results.append([sums, *(value.grad.clone() for value in learner.trained.values())])
        learner.optimizer.zero_grad(set_to_none=True)
    assert all(torch.equal(one, other) for one, other in zip(*results))


# Shares of the batch


def test_a_rank_without_future_frames_is_refused_before_the_first_step(small_recipe):
    recipe = small_recipe(batch=8, video_share=0.25)
    for world in (1, 2):
        for rank in range(world):
            schedule = BatchSchedule(recipe, np.arange(64), rank, world)
            assert schedule.video_windows[-1] >= 1
    with pytest.raises(ValueError, match="gives 2 windows with future frames for 4 processes"):
        BatchSchedule(recipe, np.arange(64), 0, 4)


def test_windows_with_future_frames_come_first_where_a_part_is_supervised_by_them(small_recipe):
    recipe = small_recipe(batch=16, video_share=0.25)
    plain = BatchSchedule(recipe, np.arange(64), 0, 1)
    odd = BatchSchedule(recipe, np.arange(64), 0, 1, has_future=lambda numbers: numbers % 4 == 1)
    parts, steps = odd.micro_batches(0), plain.per_epoch
    for step in range(steps):
        batch = odd.batch(step)
        assert sorted(batch) == sorted(plain.batch(step)) and (next(parts) == batch).all()
        count = (batch % 4 == 1).sum()
        assert (batch[:count] % 4 == 1).all()
    whole = small_recipe(batch=16, video_share=1.0)
    everything = BatchSchedule(whole, np.arange(64), 0, 1, has_future=lambda numbers: numbers % 4 == 1)
    assert (everything.batch(2) == BatchSchedule(whole, np.arange(64), 0, 1).batch(2)).all()


@pytest.mark.parametrize("size", [None, 1, 3, 8])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_ranks_and_micro_batches_share_the_batch_of_one_process(small_recipe, size, share):
    recipe = small_recipe(batch=16, video_share=share)
    whole = BatchSchedule(recipe, np.arange(64), 0, 1).batch(5)
    seen, with_video = [], []
    for rank in range(2):
        schedule = BatchSchedule(recipe, np.arange(64), rank, 2, size)
        parts = schedule.micro_batches(5)
        for count in schedule.video_windows:
            numbers = next(parts)
            seen += numbers.tolist()
            with_video += numbers[:count].tolist()
        # Gradients are exchanged with the last micro-batch, which must reach the image decoder.
        assert schedule.video_windows[-1] > 0
    assert sorted(seen) == sorted(whole.tolist())
    assert sorted(with_video) == sorted(whole[: recipe.video_windows].tolist())
