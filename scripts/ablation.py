"""The paper's ablation in the simulated rig: trains and evaluates each recipe with each seed.

    python scripts/ablation.py --data data/table --out runs/ablation
    python scripts/ablation.py --data data/table --out runs/ablation --seeds 0 --evaluate data steps=300

The second line is a quick look. An interrupted program continues with the same command: trained recipes
are not trained again, evaluated ones not evaluated again. OUT/RECIPE-seedS is a run's folder, its JSON file
the result, OUT/ablation.md the table, rewritten after each job.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.eval.wilson import wilson
from gr1_core.sim.suites import trials
from gr1_core.sim.tasks import parse_task_names

RECIPES = (
    "ablation-no-video",
    "ablation-video",
    "ablation-pretrained",
    "ablation-no-video-10pct",
    "ablation-video-10pct",
    "ablation-pretrained-10pct",
    "ablation-future-1",
    "ablation-future-5",
)
SUITES = "seen,instances,categories,drawer"
KEYS = {"recipe", "seed", "train", "evaluate", "seconds", "held_out", "figures"}  # of a job's result
FIGURES = ("action_mm", "action_deg", "gripper_accuracy", "static", "wrist")  # of `gr1 evaluate data`
_LEGEND = (
    "In brackets Wilson's 95 % interval of the episodes of all seeds together; then the rate of each seed. "
    "All: the episodes of all\n"
    "suites but `swap`. Held out: the arm's error a step, mean over the seeds, plus or minus their standard "
    "deviation."
)
_MAX_TASKS = 5  # with a column each in the table
LAYOUTS = 500_000  # for comparing recipes; the default seed's layouts are for the chosen one
GR1 = (sys.executable, "-m", "gr1_core")


class AblationError(ValueError):
    """Jobs that cannot be done."""


@dataclass(frozen=True)
class Job:
    """One recipe with one seed: its two commands (without the program) and its result file."""

    recipe: str
    seed: int
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    result: Path

    @property
    def name(self) -> str:
        return f"{Path(self.recipe).stem}-seed{self.seed}"

    def read_result(self) -> dict | None:
        """What came out, if it was asked for in the same way. Raises AblationError for a file that is no
        result.
        """
        if not self.result.is_file():
            return None
        try:
            found = json.loads(self.result.read_text())
        except ValueError as error:
            raise self._foreign(str(error)) from error
        if not isinstance(found, dict) or (lacks := sorted(KEYS - set(found))):
            raise self._foreign(
                "it is no JSON object" if not isinstance(found, dict) else f"it lacks {', '.join(lacks)}"
            )
        return (
            found if (found["train"], found["evaluate"]) == (list(self.train), list(self.evaluate)) else None
        )

    def _foreign(self, why: str) -> AblationError:
        return AblationError(
            f"{self.result} is no result of this program ({why}): delete it and the job is evaluated again, "
            "or choose another --out"
        )


def jobs(arguments) -> list[Job]:
    """All recipes with the first seed, then with the next, so that a table is there early.

    Raises RecipeError for recipes, ValueError for suites and tasks that gr1 evaluate sim would refuse once
    the first one is trained.
    """
    from gr1_core.train import recipe as recipes

    if arguments.evaluate == "sim":
        for suite in arguments.suites.split(","):
            trials(suite, 1, arguments.layouts, parse_task_names(arguments.tasks))
    pretrained = {
        name: recipes.load(name, [f"data={arguments.data}", *arguments.changes]).init is not None
        for name in arguments.recipes
    }
    return [
        _job(arguments, name, seed, pretrained[name])
        for seed in arguments.seeds
        for name in arguments.recipes
    ]


def _job(arguments, recipe: str, seed: int, pretrained: bool) -> Job:
    name = f"{Path(recipe).stem}-seed{seed}"
    run = arguments.out / name
    changes = [f"data={arguments.data}", f"seed={seed}", f"out={run}", *arguments.changes]
    if arguments.init and pretrained:
        changes.append(f"init={arguments.init}")
    train = ("finetune", recipe, *changes)
    if arguments.evaluate == "data":
        evaluate = ("evaluate", "data", "--checkpoint", str(run), "--dataset", str(arguments.data))
    else:
        counts = ("--episodes", str(arguments.episodes), "--seed", str(arguments.layouts))
        counts += ("--seconds", str(arguments.seconds)) if arguments.seconds is not None else ()
        tasks = ("--tasks", arguments.tasks) if arguments.tasks != "all" else ()
        evaluate = (
            "evaluate",
            "sim",
            "--checkpoint",
            str(run),
            "--suites",
            arguments.suites,
            *tasks,
            *counts,
        )
    return Job(recipe, seed, train, evaluate, arguments.out / f"{name}.json")


def run_job(job: Job) -> dict:
    """Trains and evaluates; writes and returns the result. Raises AblationError when a command fails."""
    began = time.monotonic()
    _command(job.train)
    trained = time.monotonic()
    held_out = _held_out(job) if job.evaluate[1] == "sim" else {}
    last = _command(job.evaluate).strip().splitlines()[-1:]
    try:
        figures = json.loads(last[0])
    except (IndexError, ValueError):
        raise AblationError(f"{_shown(job.evaluate)}: its last line is no JSON document: {last}") from None
    if "interrupted" in figures:
        raise AblationError(f"{_shown(job.evaluate)}: interrupted after {figures['interrupted']}")
    seconds = {"train": round(trained - began, 1), "evaluate": round(time.monotonic() - trained, 1)}
    found = {
        "recipe": job.recipe,
        "seed": job.seed,
        "train": list(job.train),
        "evaluate": list(job.evaluate),
        "seconds": seconds,
    }
    found |= {"held_out": held_out, "figures": figures}
    atomic_write.write_json(job.result, found)
    return found


def _held_out(job: Job) -> dict:
    """The trainer's last figures of the episodes that it held out."""
    log = job.result.parent / job.name / "log.jsonl"
    try:
        return json.loads(log.read_text().splitlines()[-1])["held_out"]
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise AblationError(
            f"{log} has no held-out figures ({error}): give held_out=0.03 or validation=DIR, and another "
            "--out"
        ) from None


def _command(words: tuple[str, ...]) -> str:
    """Runs `gr1 ...`, prints its output and returns it."""
    print(f"$ {_shown(words)}", flush=True)
    lines = []
    with subprocess.Popen([*GR1, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        except KeyboardInterrupt:
            process.terminate()  # a training saves its state
            process.wait()
            raise
    if process.returncode:
        raise AblationError(
            f"`{_shown(words)}` ended with code {process.returncode}; the same command continues"
        )
    return "".join(lines)


def _shown(words: tuple[str, ...]) -> str:
    return shlex.join(("gr1", *words))


# The table


def results_table(done: list[dict]) -> str:
    """Markdown: one line per recipe with pooled seeds and each seed's own figures; the commands."""
    recipes = list(dict.fromkeys(found["recipe"] for found in done))
    groups = {
        recipe: sorted(
            (found for found in done if found["recipe"] == recipe), key=lambda found: found["seed"]
        )
        for recipe in recipes
    }
    sim = all("suites" in found["figures"] for found in done)
    head, rows = _successes(groups) if sim else _errors(groups)
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    if sim:
        lines += [_LEGEND, ""]
    else:
        lines += ["Held-out episodes: mean over the seeds, plus or minus their standard deviation.", ""]
    minutes = {kind: sum(found["seconds"][kind] for found in done) / 60 for kind in ("train", "evaluate")}
    lines += [
        f"{len(done)} runs: {minutes['train']:.0f} minutes of training, {minutes['evaluate']:.0f} of "
        "evaluation. Commands:",
        "",
    ]
    lines += [
        f"    {_shown(words)}"
        for found in done
        for words in (tuple(found["train"]), tuple(found["evaluate"]))
    ]
    return "\n".join(lines) + "\n"


def _successes(groups: dict[str, list[dict]]) -> tuple[list[str], list[list[str]]]:
    """By task where there are at most five, else by suite; and how far off the arm is in held-out episodes, a
    step.
    """
    tasks = {name for found in sum(groups.values(), []) for name in _by_task(found)}
    counted = _by_task if len(tasks) <= _MAX_TASKS else _by_suite
    names = list(dict.fromkeys(name for found in sum(groups.values(), []) for name in counted(found)))
    rows = []
    for recipe, found in groups.items():
        each, every = [counted(one) for one in found], [_every(one) for one in found]
        success = [_pooled(every), *(_pooled([one[name] for one in each if name in one]) for name in names)]
        rows.append(
            [f"`{Path(recipe).stem}`", str(len(found)), *success, _spread(found, "held_out", "action_mm")]
        )
    return ["recipe", "seeds", "all", *names, "held out, mm"], rows


def _by_suite(found: dict) -> dict[str, tuple[int, int]]:
    return {name: (one["successes"], one["episodes"]) for name, one in found["figures"]["suites"].items()}


def _every(found: dict) -> tuple[int, int]:
    """Of all suites but the language swap, which asks another question."""
    return _sum(counts for name, counts in _by_suite(found).items() if name != "swap")


def _by_task(found: dict) -> dict[str, tuple[int, int]]:
    """Of all suites together."""
    suites = found["figures"]["tasks"].values()
    names = dict.fromkeys(name for suite in suites for name in suite)
    return {
        name: _sum((suite[name]["successes"], suite[name]["episodes"]) for suite in suites if name in suite)
        for name in names
    }


def _sum(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    successes, episodes = zip(*counts)
    return sum(successes), sum(episodes)


def _pooled(counts: list[tuple[int, int]]) -> str:
    successes, episodes = (sum(values) for values in zip(*counts))
    low, high = wilson(successes, episodes)
    each = ", ".join(f"{hits / of:.2f}" for hits, of in counts)
    return f"**{successes / episodes:.2f}** [{low:.2f}, {high:.2f}] ({each})"


def _errors(groups: dict[str, list[dict]]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for recipe, found in groups.items():
        rows.append(
            [
                f"`{Path(recipe).stem}`",
                str(len(found)),
                *(_spread(found, "figures", figure) for figure in FIGURES),
            ]
        )
    return ["recipe", "seeds", *FIGURES], rows


def _spread(found: list[dict], kind: str, figure: str) -> str:
    """Mean over the seeds, plus or minus their standard deviation."""
    values = [one[kind][figure] for one in found if one[kind].get(figure) is not None]
    if not values:
        return ""
    return f"{statistics.mean(values):.3f}" + (
        f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    )


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python scripts/ablation.py", description=__doc__.split("\n")[0])
    parser.add_argument(
        "changes", nargs="*", metavar="key=value", help="what differs from all recipes, e.g. steps=1000"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="demonstrations")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ablation"), metavar="DIR", help="(default: runs/ablation)"
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="DIR",
        help="for recipes that begin with videos (default: runs/pretrain-demo)",
    )
    parser.add_argument(
        "--recipes",
        type=lambda text: text.split(","),
        default=list(RECIPES),
        metavar="A,B",
        help="(default: all eight)",
    )
    parser.add_argument(
        "--seeds",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[0, 1, 2],
        help="(default: 0,1,2)",
    )
    parser.add_argument(
        "--evaluate",
        choices=("sim", "data"),
        default="sim",
        help="by success (default), or by held-out errors alone",
    )
    parser.add_argument("--suites", default=SUITES, help=f"of gr1 evaluate sim (default: {SUITES})")
    parser.add_argument("--tasks", default="all", metavar="A,B", help="of gr1 evaluate sim (default: all)")
    parser.add_argument("--episodes", type=int, default=100, help="of each suite (default: 100)")
    parser.add_argument(
        "--layouts",
        type=int,
        default=LAYOUTS,
        metavar="S",
        help=f"--seed of gr1 evaluate sim (default: {LAYOUTS})",
    )
    parser.add_argument(
        "--seconds", type=int, metavar="T", help="a longer episode has failed, as in gr1 evaluate sim"
    )
    arguments = parser.parse_intermixed_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        return _run(jobs(arguments), arguments.out / "ablation.md")
    except ValueError as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ablation: interrupted; the same command continues", file=sys.stderr)
        return 130


def _run(wanted: list[Job], report: Path) -> int:
    done = []
    for number, job in enumerate(wanted, 1):
        found = job.read_result()
        print(f"[{number}/{len(wanted)}] {job.name}{': done before' if found else ''}", flush=True)
        done.append(found or run_job(job))
        atomic_write.write_text(report, results_table(done))
    print(f"{report}: {len(done)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
