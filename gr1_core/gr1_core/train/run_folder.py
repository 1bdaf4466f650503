"""A run's folder. Every file is written atomically, so that a kill at any moment leaves a run that can be
resumed.

    model.safetensors config.json rig.yaml training.json     the checkpoint to deploy
    recipe.yaml tensors.json                                 the recipe; which tensors were taken over, are
new, are trained
    state/<step>.safetensors                                 trained weights, optimizer and averaged weights
after that many steps
    log.jsonl tensorboard/ wandb/ images/                    the evaluations

Resuming needs nothing else: learning rate, order of the data and random numbers depend on the step alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gr1_core import atomic_write
from gr1_core.model import checkpoint
from gr1_core.model.lerobot_files import PROCESSOR_FILES
from gr1_core.train.boards import WANDB
from gr1_core.train.recipe import Recipe, RecipeError, changed_settings

STATES_KEPT = 2
_CHECKPOINT = (checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.RIG, checkpoint.TRAINING)
# In the order in which they are removed: a kill in between leaves a folder that is still recognised as a run.
_FILES = (
    "state",
    "tensorboard",
    WANDB,
    "images",
    "log.jsonl",
    "failure.json",
    *_CHECKPOINT,
    *PROCESSOR_FILES,
    "recipe.yaml",
    "tensors.json",
)
_LOCK = ".lock"


class TrainingError(ValueError):
    """A run that cannot begin or continue; names the cause and the remedy."""


class RunFolder:
    """One run's folder, locked by one run at a time: `with RunFolder(out) as folder: folder.lock()`.

    A run that wrote nothing leaves no folder.
    """

    def __init__(self, out: str | Path):
        self.path = Path(out)
        self._lock: FileLock | None = None
        self._created: list[Path] = []

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_) -> None:
        if self._lock is None:
            return
        with suppress(OSError):
            if [path.name for path in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                for path in self._created:
                    path.rmdir()
        self._lock.release()

    def check(self, recipe: Recipe) -> None:
        """Refuses a folder that training must not write into or clear; changes nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"out={self.path} is a file, a run needs a folder: give another out=DIR")
        if recipe.init is not None and Path(recipe.init).resolve() == self.path.resolve():
            raise RecipeError(
                f"init and out are the same folder, {self.path}, and the run would overwrite its initial "
                "weights: "
                "give another out=DIR"
            )
        if not self.path.is_dir() or self._is_run():
            return
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
        # A run that was killed while it wrote its first files leaves these.
        begun = {name for name in names if name == "tensors.json" or name.endswith(atomic_write.SUFFIX)}
        if foreign := sorted(names - begun):
            raise TrainingError(
                f"{self.path} is not empty and holds no training run ({checkpoint.first_few(foreign)}): "
                "nothing in it is overwritten or removed, give another out=DIR"
            )

    def _is_run(self) -> bool:
        """Whether a run wrote it: it has a whole recipe and a run's other files, not just any recipe.yaml."""
        try:
            saved = yaml.safe_load((self.path / "recipe.yaml").read_text())
        except (FileNotFoundError, ValueError, yaml.YAMLError):
            return False
        complete = isinstance(saved, dict) and {"name", "stage", "out", "seed", "data"} <= saved.keys()
        return complete and any(
            (self.path / name).exists() for name in ("tensors.json", checkpoint.TRAINING, "state")
        )

    def lock(self) -> None:
        """Creates the folder; refuses it while another run writes into it. A killed run's lock is free."""
        created = [path for path in (self.path, *self.path.parents) if not path.exists()]
        lock = FileLock(self.path / _LOCK, blocking=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise TrainingError(
                f"another run writes into {self.path}: wait for it, or give another out=DIR"
            ) from None
        except OSError as error:
            remedy = "make room" if checkpoint.disk_is_full(error) else "give another out=DIR"
            raise TrainingError(
                f"could not create the run's folder {self.path}: {error.strerror}: {remedy}"
            ) from error
        self._lock, self._created = lock, created
        for folder in (self.path, self.path / "state"):
            atomic_write.remove_partials(folder)

    def clear(self) -> None:
        """Removes an earlier run."""
        for name in _FILES:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def latest_state(self, recipe: Recipe) -> tuple[int, dict[str, Tensor]] | None:
        """(step, tensors) of the newest readable state; None for a new run. Raises TrainingError if the
        recipe has changed.
        """
        saved = self.path / "recipe.yaml"
        if not saved.is_file():
            return None
        if changed := changed_settings(yaml.safe_load(saved.read_text()), recipe.to_dict()):
            raise TrainingError(
                f"{self.path} holds a run of another recipe: {'; '.join(changed)}. Continue the old one, "
                f"give another out=DIR (init={self.path} begins with its weights), "
                "or start again with --fresh"
            )
        for path in reversed(self.states()):
            try:
                with safe_open(path, "pt") as file:
                    return int(path.stem), {name: file.get_tensor(name) for name in file.keys()}
            except (SafetensorError, OSError) as error:
                print(f"{path} cannot be read ({error}), trying the one before")
        return None

    def require_data(self, described: Mapping) -> None:
        """Raises TrainingError unless the folder's run was made of the same data. described: as in
        training.json
        (`TrainingData.to_dict`).
        """
        try:
            before = (checkpoint.read_training(self.path) or {}).get("data") or {}
        except checkpoint.CheckpointError as error:
            raise TrainingError(str(error)) from error
        for name, what in (("train", "data"), ("held_out", "validation"), ("videos", "videos")):
            old, new = before.get(name), described.get(name)
            if old and new and old.get("fingerprint") != new["fingerprint"]:
                raise TrainingError(
                    f"{self.path} is a run on other data: {what}={new['root']} has fingerprint "
                    f"{new['fingerprint']}, the run began with {old.get('fingerprint')} of "
                    f"{old.get('root')}. "
                    "A run belongs to its data: give the same dataset, or begin another run with the old "
                    f"weights, init={self.path} out=NEW"
                )

    def states(self) -> list[Path]:
        """The state files, oldest first."""
        return sorted((self.path / "state").glob("*.safetensors"))

    def write_recipe(self, recipe: Recipe, report: Mapping) -> None:
        """Writes the recipe and the report of the initial weights."""
        self.write_file("tensors.json", json.dumps(report, indent=1) + "\n")
        self.write_file("recipe.yaml", yaml.safe_dump(recipe.to_dict(), sort_keys=False))

    def save_state(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Writes a state and then removes all but the last STATES_KEPT."""
        path = self.path / "state" / f"{step:08d}.safetensors"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            with atomic_write.replacing(path) as partial:
                save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, partial)
        for old in self.states()[:-STATES_KEPT]:
            old.unlink()

    def truncate_log(self, step: int) -> None:
        """Removes evaluations after `step`, which will be made again."""
        path = self.path / "log.jsonl"
        if path.is_file():
            # A kill may have cut the last line.
            lines = [
                line
                for line in path.read_text().splitlines()
                if line.endswith("}") and json.loads(line)["step"] <= step
            ]
            self.write_file("log.jsonl", "".join(line + "\n" for line in lines))

    def append_log(self, entry: dict) -> None:
        """Adds a line to log.jsonl."""
        with writing(self.path), open(self.path / "log.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")

    def write_file(self, name: str, content: str | bytes) -> None:
        """Writes a file of the folder, whose own folder is created."""
        path = self.path / name
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            atomic_write.write_bytes(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failed write of `path` into a TrainingError with the remedy; the last state is untouched."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = checkpoint.disk_is_full(error)
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        remedy = "make room and run" if full else "remove the cause and run"
        raise TrainingError(
            f"could not write {path}: {reason}. The last state is whole: {remedy} the same command again"
        ) from error
