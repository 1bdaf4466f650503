"""Damages small datasets, videos, checkpoints and YAML files at random and converts them.

python -m tests.data.mutations --cases 1000 --seed 0 [--out FILE.jsonl]

A case damages one file of one input in one way and runs the command that a user would type. Outcomes:

same       the result is that of the undamaged input
named      episodes are missing or differ, and all of them are named in the summary
refused    an error message and exit code 1 or 2
payload    values or pixels differ where bytes of a file without checksums were changed: no reader can know
other      the file is valid and says something else (YAML, a video that still plays)
traceback, hang, crash, silent: faults; silent: something else differs, or is missing, and nothing names it
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

FAULTS = ("traceback", "hang", "crash", "silent")
LIMIT_S = 600
_BATCH = 200


class Hang(BaseException):
    """A case that took longer than LIMIT_S."""


# Inputs: folder, the words of the command, the files that may be damaged


def lerobot(folder: Path, version: str, videos: bool):
    from . import public_lerobot

    root = public_lerobot.make(folder / "set", lengths=(7, 6, 8), version=version, videos=videos)
    mapping, rig = (
        public_lerobot.write_mapping(folder / "map.yaml"),
        public_lerobot.write_rig(folder / "rig.yaml"),
    )
    words = ["convert", "lerobot", str(root), "--mapping", str(mapping), "--rig", str(rig), "--workers", "1"]
    return [*words, "--out", str(folder / "out")], [path for path in root.rglob("*") if path.is_file()]


def calvin(folder: Path):
    from . import calvin_fixture

    root = calvin_fixture.make(folder, spans=3, length=14)
    shutil.rmtree(root / "validation")
    files = [path for path in root.rglob("*") if path.is_file()]
    return ["convert", "calvin", str(root), "--out", str(folder / "out"), "--workers", "1"], files


def ego4d(folder: Path):
    from . import ego4d_fixture

    root = ego4d_fixture.make(folder, seconds=5)
    ego4d_fixture.write_narrations(
        root,
        {uid: [(1.0, "#C C cuts"), (2.5, "#C C looks"), (3.5, "#C C sits")] for uid in ego4d_fixture.UIDS},
    )
    files = [path for path in root.rglob("*") if path.is_file()]
    return ["convert", "ego4d", str(root), "--out", str(folder / "out"), "--workers", "1"], files


def yaml_files(folder: Path):
    words, _ = lerobot(folder, "v3.0", False)
    return words, [folder / "map.yaml", folder / "rig.yaml"]


def snapshot(folder: Path):
    golden = Path(__file__).parents[1] / "golden"
    shutil.copy(golden / "tiny_snapshot.pt", folder / "snapshot.pt")
    config = json.loads((golden / "tiny.json").read_text())["config"]
    (folder / "configs.json").write_text(json.dumps(config))
    words = ["import-official", "--snapshot", str(folder / "snapshot.pt"), "--out", str(folder / "out")]
    return [*words, "--config", str(folder / "configs.json")], [
        folder / "snapshot.pt",
        folder / "configs.json",
    ]


KINDS: dict[str, Callable] = {
    "lerobot images": lambda folder: lerobot(folder, "v3.0", False),
    "lerobot videos": lambda folder: lerobot(folder, "v3.0", True),
    "lerobot v2.1": lambda folder: lerobot(folder, "v2.1", True),
    "calvin": calvin,
    "ego4d": ego4d,
    "yaml": yaml_files,
    "snapshot": snapshot,
}


# Damage


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def blank(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((4, 64, 512)))
    data[start:stop] = rng.choice((bytes(stop - start), rng.randbytes(stop - start)))


def pointer(data: bytearray, rng: random.Random) -> None:
    data[:] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n"


def remove(data: bytearray, rng: random.Random) -> None:
    data.clear()


BYTES = (flip, flip, flip, cut, blank, pointer, remove)
WRONG = (None, -1, "x", [], {}, True, 1.5, 10**12, [[1]], "", float("nan"))


def change_field(tree, rng: random.Random):
    """Removes a random entry of nested lists and dictionaries, or gives it a value that is no right one."""
    places = []

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)) and node[key]:
                walk(node[key])

    if isinstance(tree, (dict, list)) and tree:
        walk(tree)
    if not places:
        return rng.choice(WRONG)
    node, key = rng.choice(places)
    if isinstance(node, dict) and rng.random() < 0.3:
        del node[key]
    else:
        # Another text or number could be right.
        old = node[key]
        alike = (int, float) if isinstance(old, (int, float)) else type(old)
        node[key] = rng.choice([one for one in WRONG if not isinstance(one, alike)])
    return tree


def change_table(path: Path, rng: random.Random) -> None:
    """Nulls, other types, missing columns and rows, another order of rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = rng.choice(table.column_names)
    what = rng.choice(("null", "drop", "text", "short", "order", "rows", "twice", "list"))
    index = table.column_names.index(column)
    if what == "drop":
        table = table.drop_columns([column])
    elif what == "order":
        table = table.take(pa.array(rng.sample(range(len(table)), len(table))))
    elif what == "rows":
        table = table.slice(0, rng.randrange(len(table)))
    elif what == "twice":
        table = pa.concat_tables([table, table.slice(0, 1 + rng.randrange(len(table)))])
    else:
        values = table[column].to_pylist()
        at = rng.randrange(len(values))
        if what == "null":
            values[at] = None
        elif what == "text":
            values = [str(value)[:20] for value in values]
        elif what == "short" and isinstance(values[at], list):
            values[at] = values[at][:-1]
        elif what == "list":
            values = [[value] for value in values]
        table = table.set_column(index, column, pa.array(values))
    pq.write_table(table, path)


def damage(path: Path, rng: random.Random) -> str:
    """Damages one file; returns how."""
    if path.suffix in (".json", ".jsonl", ".yaml") and rng.random() < 0.7:
        import yaml

        text = path.read_text()
        if path.suffix == ".jsonl":
            lines = text.splitlines()
            at = rng.randrange(len(lines))
            lines[at] = json.dumps(change_field(json.loads(lines[at]), rng))
            path.write_text("\n".join(lines) + "\n")
        elif path.suffix == ".json":
            path.write_text(json.dumps(change_field(json.loads(text), rng)))
        else:
            path.write_text(yaml.safe_dump(change_field(yaml.safe_load(text), rng)))
        return "field"
    if path.suffix == ".parquet" and rng.random() < 0.5:
        change_table(path, rng)
        return "table"
    how, data = rng.choice(BYTES), bytearray(path.read_bytes())
    how(data, rng)
    if how is remove:
        path.unlink()
    else:
        path.write_bytes(data)
    return f"bytes {how.__name__}"


# Outcomes


def result(out: Path) -> dict[str, tuple]:
    """Episode or tensor -> what it holds, comparable."""
    if (out / "model.safetensors").is_file():
        from safetensors.numpy import load_file

        return {name: (values.tobytes(),) for name, values in load_file(out / "model.safetensors").items()}
    from gr1_core.data.dataset import Dataset

    dataset, found = Dataset(out, cache=out / "cache"), {}
    names = [json.loads(line)["name"] for line in (out / "meta/sources.jsonl").read_text().splitlines()]
    for number, (name, (start, end)) in enumerate(zip(names, dataset.episodes.tolist(), strict=True)):
        vectors = [
            None if one is None else one[start:end].tobytes() for one in (dataset.state, dataset.action)
        ]
        frame_images = {
            role: [dataset.image(role, row) for row in range(start, end)] for role in dataset.roles
        }
        found[name] = dataset.tasks[dataset.task_of[number]], end - start, vectors, frame_images
    return found


def compare(clean: dict, here: dict, said: str, meta: dict, how: str, path: Path) -> str:
    named = json.dumps([meta.get(key) for key in ("skipped", "changed", "left_out")]) + said
    outcome = "same"
    for name in clean.keys() | here.keys():
        if name in clean and name in here:
            difference = differs(clean[name], here[name])
            if difference == "same":
                continue
            unprotected = how.startswith("bytes") and path.suffix in (
                ".mp4",
                ".pt",
                ".npy",
                ".json",
                ".jsonl",
            )
            if difference == "payload" and unprotected:
                outcome = "payload" if outcome == "same" else outcome
                continue
        base = re.sub(r"_\d$", "", name)
        if name not in named and base not in named and not _unit_named(name, named):
            return "silent"
        outcome = "named"
    return outcome


def _unit_named(name: str, named: str) -> bool:
    """Whether a unit that holds the episode is named as a whole: a video, a group of spans."""
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    for first, last in re.findall(r"(?:episodes|training)_(\d+)_(\d+)", named):
        if numbers and int(first) <= numbers[0] <= int(last):
            return True
    return name.rsplit("_narration", 1)[0] in named


def differs(clean: tuple, here: tuple) -> str:
    """same, payload (values of the same shape differ), or other."""
    if len(clean) == 1:
        return "same" if clean == here else "payload"
    if clean[0] != here[0] or clean[1] != here[1] or clean[3].keys() != here[3].keys():
        return "other"
    if clean[2] != here[2]:
        return "payload"
    same = all(
        np.array_equal(one, two) for role in clean[3] for one, two in zip(clean[3][role], here[3][role])
    )
    return "same" if same else "payload"


def run(words: list[str]) -> tuple[str, str]:
    """-> (done, refused, traceback or hang; what was said)."""
    from gr1_core.cli import main

    def stop(*_):
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(words)
    except Hang:
        return "hang", said.getvalue()
    except SystemExit as error:
        code = error.code
    except BaseException:
        return "traceback", said.getvalue() + traceback.format_exc()
    finally:
        signal.alarm(0)
    return ("done" if code in (0, 3) else "refused"), said.getvalue()


def run_case(seed: int, originals: dict[str, tuple[Path, dict]]) -> dict:
    rng = random.Random(seed)
    kind = rng.choice(list(originals))
    clean_folder, clean = originals[kind]
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name) / "work"
        shutil.copytree(clean_folder, folder, ignore=shutil.ignore_patterns("out"))
        words, files = (
            json.loads(text.replace(str(clean_folder), str(folder)))
            for text in ((clean_folder / name).read_text() for name in ("words.json", "files.json"))
        )
        path = Path(rng.choice(files))
        how = damage(path, rng)
        outcome, said = run(words)
        if outcome == "done":
            out = folder / "out"
            meta = json.loads((out / "meta/gr1.json").read_text()) if (out / "meta").is_dir() else {}
            here = result(out)
            outcome = compare(clean, here, said, meta, how, path)
            if outcome in ("silent", "named") and kind == "yaml":
                outcome = "other"
            # An entry that is not in Ego4D's file any more, or is empty, leaves no trace of its narrations.
            same = all(name in clean and differs(clean[name], one) == "same" for name, one in here.items())
            if outcome == "silent" and path.name == "narration.json" and same:
                outcome = "other"
        if outcome == "refused" and not said.strip():
            outcome = "silent"
        return {
            "seed": seed,
            "kind": kind,
            "file": str(path.relative_to(folder)),
            "how": how,
            "outcome": outcome,
            "said": said[-1500:] if outcome in FAULTS else said.strip().splitlines()[:1],
        }


def make_originals(root: Path, kinds: Collection[str] = tuple(KINDS)) -> dict[str, tuple[Path, dict]]:
    """Kind -> folder of the undamaged input, and its result."""
    found = {}
    for kind in kinds:
        make = KINDS[kind]
        folder = root / kind.replace(" ", "-")
        folder.mkdir()
        words, files = make(folder)
        (folder / "words.json").write_text(json.dumps(words))
        (folder / "files.json").write_text(json.dumps(sorted(map(str, files))))
        outcome, said = run(words)
        if outcome != "done":
            raise RuntimeError(f"{kind}: the undamaged input is not converted: {said}")
        found[kind] = folder, result(folder / "out")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        with tempfile.TemporaryDirectory(prefix="originals-") as name:
            originals = make_originals(Path(name))
            for seed in range(options.seed, options.seed + options.cases):
                print(json.dumps({"begun": seed}), flush=True)
                print(json.dumps(run_case(seed, originals)), flush=True)
        return 0
    cases = []
    first, end = options.seed, options.seed + options.cases
    while first < end:  # a crash of a native library ends the child only
        words = [sys.executable, "-m", "tests.data.mutations", "--child", "--seed", str(first)]
        child = subprocess.Popen(
            [*words, "--cases", str(min(_BATCH, end - first))], stdout=subprocess.PIPE, text=True
        )
        lines = []
        for line in child.stdout:
            lines.append(json.loads(line))
            if options.out and "outcome" in lines[-1]:
                with options.out.open("a") as file:
                    file.write(line)
        code = child.wait()
        here = [line for line in lines if "outcome" in line]
        cases += here
        first += len(here)
        if code:
            if not lines:
                raise RuntimeError("the undamaged inputs cannot be converted")
            cases.append({"seed": first, "outcome": "crash", "kind": "?", "said": str(code)})
            first += 1
    counts = Counter(case["outcome"] for case in cases)
    for case in cases:
        if case["outcome"] in FAULTS:
            print(json.dumps(case))
    print(json.dumps(dict(counts)))
    return int(any(counts[fault] for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
