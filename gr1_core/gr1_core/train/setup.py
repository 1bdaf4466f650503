"""From a recipe to a run: opens the data, makes or resumes the weights, chooses the micro-batch, and starts
the loop.
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object
from torch import Tensor

from gr1_core.data.drivers import OPERATOR
from gr1_core.data.windows import Windows
from gr1_core.model import checkpoint
from gr1_core.model.gr1 import GR1
from gr1_core.model.precision import best_precision
from gr1_core.plural import plural
from gr1_core.train import corrections, cpu_tuning, losses, memory, weights
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.data import open_training_data
from gr1_core.train.input_pipeline import InputPipeline, InputSpec
from gr1_core.train.joint_videos import JointVideos
from gr1_core.train.learner import Learner
from gr1_core.train.recipe import Recipe
from gr1_core.train.report import TrainingLog
from gr1_core.train.run_folder import RunFolder
from gr1_core.train.signals import StopSignal
from gr1_core.train.trainer import Progress, Trainer


def train(recipe: Recipe, fresh: bool = False) -> int:
    """Runs or resumes the recipe in its folder -> exit code, see `Trainer.run`.

    fresh: removes the run that the folder holds, after everything else of the new run is ready.
    Raises TrainingError, RecipeError, DatasetError, CheckpointError, ValueError.
    """
    with StopSignal() as stop, RunFolder(recipe.out) as folder:
        trainer = prepare_run(recipe, folder, fresh)
        try:
            return trainer.run(stop)
        finally:
            trainer.close()


def prepare_run(recipe: Recipe, folder: RunFolder, fresh: bool = False) -> Trainer:
    """A new run, or the folder's run as its last state left it. Changes the folder only when nothing can fail
    any more.
    """
    folder.check(recipe)
    processes = Accelerator(
        cpu=recipe.device == "cpu" or not torch.cuda.is_available(),
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        ],
    )
    precision = best_precision(processes.device) if recipe.precision == "auto" else recipe.precision
    cpu_tuning.configure(processes.device, recipe.threads, precision)
    data = open_training_data(recipe)
    # Refuses impossible batches before anything else is done.
    BatchSchedule(recipe, data.starts, processes.process_index, processes.num_processes)
    if processes.is_main_process:
        folder.lock()
    processes.wait_for_everyone()

    saved = None if fresh else folder.latest_state(recipe)
    if saved:
        folder.require_data(data.to_dict())
    step, tensors = saved or (0, {})
    model, report = (_resumed_model(folder, recipe), None) if saved else weights.initial_model(recipe)
    if processes.is_main_process and report:
        print(report, flush=True)
    learner = Learner(recipe, model, processes, precision == "bf16")
    micro_batch = _micro_batch(recipe, learner, processes, tensors)
    if recipe.compile:
        learner.compile()
    schedule = BatchSchedule(
        recipe,
        data.starts,
        processes.process_index,
        processes.num_processes,
        micro_batch,
        data.train.has_future,
    )
    progress = Progress(
        step,
        *recipe.schedule(schedule.per_epoch),
        tensors.pop("recent", torch.zeros(len(losses.NAMES) + 1, dtype=torch.float64)),
    )
    tensors.pop("micro_batch", None)
    learner.load_state(tensors)

    pipeline = held_pipeline = _pipeline(recipe, model, data.train, learner)
    if data.held is not None and data.held.dataset is not data.train.dataset:
        held_pipeline = _pipeline(recipe, model, data.held, learner)
    if processes.is_main_process and fresh:
        folder.clear()
    videos = None
    if data.videos is not None:
        ranks = processes.process_index, processes.num_processes
        size = micro_batch if isinstance(micro_batch, int) else None
        videos = JointVideos(recipe, data.videos, model, learner.device, learner.objective.bf16, *ranks, size)
    trainer = Trainer(
        recipe, folder, processes, data, schedule, learner, pipeline, held_pipeline, progress, None, videos
    )
    if processes.is_main_process:
        if not saved:
            folder.write_recipe(recipe, report.to_dict())
            trainer.save_checkpoint()
        print("\n".join([_headline(trainer, precision), *_correction_lines(trainer)]), flush=True)
        trainer.log = TrainingLog(folder, recipe, step, progress.steps)
    return trainer


def _resumed_model(folder: RunFolder, recipe: Recipe) -> GR1:
    """The model of the run's own checkpoint, which has the frozen tensors, so that the initial files are not
    needed again.
    """
    model = checkpoint.load_model(folder.path)
    for parameter in model.parameters():
        # Tensors of a mapped file have other alignments than PyTorch's own memory, and products then round
        # differently.
        parameter.data = parameter.data.clone()
    weights.set_trained(model, recipe)
    return model


def _micro_batch(
    recipe: Recipe, learner: Learner, processes: Accelerator, state: dict[str, Tensor]
) -> int | None:
    """Windows that each process computes at once. A resumed run keeps its own, so that it continues bit for
    bit.
    """
    if recipe.micro_batch != "auto":
        return recipe.micro_batch
    if "micro_batch" in state:
        return int(state["micro_batch"])
    share = recipe.batch // processes.num_processes
    per_window = memory.saved_bytes_per_window(learner.objective, recipe, learner.device)
    available = memory.available_bytes(learner.device)
    chosen = memory.fitting_micro_batch(share, per_window, available)
    if processes.num_processes > 1:
        # The same for all, whose gradients are exchanged with the last micro-batch.
        chosen = min(gather_object([chosen]))
    if chosen < share and processes.is_main_process:
        print(
            f"micro_batch=auto: {chosen} of {share} windows at once; one needs about {per_window / 1e9:.2f} "
            "GB for its gradients, "
            f"{available / 1e9:.1f} GB are free",
            file=sys.stderr,
            flush=True,
        )
    return chosen


def _pipeline(recipe: Recipe, model: GR1, windows: Windows, learner: Learner) -> InputPipeline:
    pipeline = InputPipeline(
        model, windows.dataset, InputSpec.of(recipe), learner.device, learner.objective.bf16
    )
    pipeline.prepare()
    return pipeline


def _correction_lines(trainer: Trainer) -> list[str]:
    """What each kind of frame weighs; or that take-overs are there and not used."""
    data, recipe = trainer.data, trainer.recipe
    if data.corrected is not None:
        return ["corrections:", *corrections.report_lines(data.corrected)]
    driver = data.train.dataset.driver
    taken = 0 if driver is None else int((driver == OPERATOR).sum())
    if not taken:
        return []
    return [
        f"{recipe.data} has {taken} frames of operators who took over from a policy; all frames count 1: "
        "corrections='{weight: 2}' weighs them and leaves out what went wrong"
    ]


def _headline(trainer: Trainer, precision: str) -> str:
    recipe, data, processes, learner = trainer.recipe, trainer.data, trainer.processes, trainer.learner
    held = 0 if data.held is None else len(data.held.episodes)
    images = "encoded beforehand" if trainer.pipeline.cached else "encoded at each use"
    trained = sum(value.numel() for value in learner.trained.values()) / 1e6
    resumed = f"; resumed after step {trainer.progress.step}" if trainer.progress.step else ""
    episodes, steps = plural(len(data.train.episodes), "episode"), plural(trainer.progress.steps, "step")
    return (
        f"{recipe.name}: {plural(len(data.starts), 'window')} of {episodes} in {recipe.data}, "
        f"{plural(held, 'episode')} held out; {trained:.1f} M trained parameters; {steps} of "
        f"{plural(recipe.batch, 'window')} "
        f"({trainer.schedule.micro_batch} at once) on {processes.num_processes} x {processes.device.type}, "
        f"{precision}; "
        f"images {images}; in {recipe.out}{resumed}"
    )
