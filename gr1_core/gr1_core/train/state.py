"""The run's folder: states to resume from, written so that a kill at any moment leaves the last whole one.

    model.safetensors config.json rig.yaml training.json     the checkpoint that is deployed
    recipe.yaml tensors.json                                 what was asked for; which tensors were taken over, are new, are trained
    state/<step>.safetensors                                 trained weights, optimizer, averaged weights after that many steps
    log.jsonl tensorboard/ pictures/                         the evaluations

Nothing else is needed to go on bit for bit: the learning rate, the order of the data and all random numbers depend on the step alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from gr1_core.model import checkpoint
from gr1_core.train.recipe import Recipe, RecipeError, changed_settings

KEEP = 2
_CHECKPOINT = (checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.RIG, checkpoint.TRAINING)
# In the order in which they are cleared: what is left by a kill in between is still known as a run.
_OURS = (
    "state",
    "tensorboard",
    "pictures",
    "log.jsonl",
    "failure.json",
    *_CHECKPOINT,
    "recipe.yaml",
    "tensors.json",
)
_LOCK = ".lock"
# What a run that was killed while it wrote its first files leaves.
_BARELY_BEGUN = {"tensors.json", "tensors.json.partial", "recipe.yaml.partial"}


class TrainingError(ValueError):
    """A run that cannot begin or go on; says where and what to do."""


class RunFolder:
    """One run's folder, held by one run at a time: `with RunFolder(out) as folder: folder.hold()`. A run that wrote nothing leaves none."""

    def __init__(self, out: str | Path):
        self.path = Path(out)
        self._lock = None
        self._made: list[Path] = []

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_) -> None:
        if self._lock is None:
            return
        with suppress(OSError):
            if [path.name for path in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                for path in self._made:
                    path.rmdir()
        self._lock.close()

    def check(self, recipe: Recipe) -> None:
        """Refuses a folder that training must not write into or clear; changes nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"out={self.path} is a file, a run needs a folder: give another out=DIR")
        if recipe.init is not None and Path(recipe.init).resolve() == self.path.resolve():
            raise RecipeError(
                f"init and out are the same folder, {self.path}, and the run would overwrite what it begins with: give another out=DIR"
            )
        if not self.path.is_dir() or self._is_run():
            return
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
        if foreign := sorted(names - _BARELY_BEGUN):
            raise TrainingError(
                f"{self.path} is not empty and holds no training run ({checkpoint.first_few(foreign)}): "
                "nothing in it is overwritten or removed, give another out=DIR"
            )

    def _is_run(self) -> bool:
        """Whether a run wrote it: its whole recipe and what comes with it, not a recipe.yaml of anyone."""
        try:
            saved = yaml.safe_load((self.path / "recipe.yaml").read_text())
        except (FileNotFoundError, ValueError, yaml.YAMLError):
            return False
        complete = isinstance(saved, dict) and {"name", "stage", "out", "seed", "data"} <= saved.keys()
        return complete and any(
            (self.path / name).exists() for name in ("tensors.json", checkpoint.TRAINING, "state")
        )

    def hold(self) -> None:
        """Creates the folder and refuses it while another run writes into it. A killed run lets go of it too."""
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / _LOCK, "w")
        except OSError as error:
            remedy = "make room" if checkpoint.disk_is_full(error) else "give another out=DIR"
            raise TrainingError(
                f"could not make the run's folder {self.path}: {error.strerror}: {remedy}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock, self._made = lock, made
        except BlockingIOError:
            lock.close()
            raise TrainingError(
                f"another run writes into {self.path}: wait for it, or give another out=DIR"
            ) from None

    def clear(self) -> None:
        """Forgets an earlier run."""
        for name in _OURS:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def latest(self, recipe: Recipe) -> tuple[int, dict[str, Tensor]] | None:
        """(step, tensors) of the newest state that can be read, None for a new run. Refuses the states of another recipe."""
        saved = self.path / "recipe.yaml"
        if not saved.is_file():
            return None
        if changed := changed_settings(yaml.safe_load(saved.read_text()), recipe.to_dict()):
            raise TrainingError(
                f"{self.path} holds a run of another recipe: {'; '.join(changed)}. Go on with the old one, give another out=DIR, "
                "or begin anew with --fresh"
            )
        for path in reversed(self.states()):
            try:
                with safe_open(path, "pt") as file:
                    return int(path.stem), {name: file.get_tensor(name) for name in file.keys()}
            except (SafetensorError, OSError) as error:
                print(f"{path} cannot be read ({error}), trying the one before")
        return None

    def states(self) -> list[Path]:
        """Oldest first."""
        return sorted((self.path / "state").glob("*.safetensors"))

    def begin(self, recipe: Recipe, report: Mapping) -> None:
        """Writes what the run was asked for."""
        self.write("tensors.json", json.dumps(report, indent=1) + "\n")
        self.write("recipe.yaml", yaml.safe_dump(recipe.to_dict(), sort_keys=False))

    def save_state(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Whole or not at all; then all but the last two states are removed."""
        folder = self.path / "state"
        path = folder / f"{step:08d}.safetensors"
        partial = path.with_suffix(".partial")
        with writing(path):
            folder.mkdir(exist_ok=True)
            try:
                save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, partial)
                _sync(partial)
                os.replace(partial, path)
                _sync(folder)
            finally:
                partial.unlink(missing_ok=True)
        for old in self.states()[:-KEEP]:
            old.unlink()

    def cut_log(self, step: int) -> None:
        """Forgets evaluations after `step`, which will be made again."""
        path = self.path / "log.jsonl"
        if path.is_file():
            # The last line may have been cut off by a kill.
            lines = [
                line
                for line in path.read_text().splitlines()
                if line.endswith("}") and json.loads(line)["step"] <= step
            ]
            self.write("log.jsonl", "".join(line + "\n" for line in lines))

    def log(self, entry: dict) -> None:
        with writing(self.path), open(self.path / "log.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")

    def write(self, name: str, content: str | bytes) -> None:
        path = self.path / name
        partial = path.with_name(f"{path.name}.partial")
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            _sync(partial)
            os.replace(partial, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names what could not be written; the last whole state is untouched then."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = checkpoint.disk_is_full(error)
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        remedy = "make room and run" if full else "when that is mended, run"
        raise TrainingError(
            f"could not write {path}: {reason}. The last state is whole: {remedy} the same command again"
        ) from error


def collect_tensors(
    model: nn.Module, optimizer: Optimizer, average: Mapping[str, Tensor], recent: Tensor
) -> dict[str, Tensor]:
    """Everything that training has changed, by name."""
    tensors = {"recent": recent} | {f"ema/{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors[f"model/{name}"] = parameter
            tensors |= {f"{key}/{name}": value for key, value in optimizer.state[parameter].items()}
    return tensors


def restore_tensors(
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    optimizer: Optimizer,
    average: dict[str, Tensor],
    recent: Tensor,
) -> None:
    """The inverse of `collect`."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = tensor
    recent.copy_(parts.pop("recent")[""])
    weights = parts.pop("model")
    averaged = parts.pop("ema", {})
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        parameter.data.copy_(weights[name])
        if name in averaged:
            average[name].copy_(averaged[name])
        for key, values in parts.items():
            optimizer.state[parameter][key] = values[name].to(parameter.device, copy=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
