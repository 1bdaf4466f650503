"""The results folder of `gr1 evaluate sim` or `gr1 evaluate calvin` in the viewer.

On the timeline each episode is as long as it took. Recorded chains of CALVIN show the real frames beside the
predicted ones; of the simulated rig there are the contact sheets.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gr1_core import images
from gr1_core.calvin.environment import FRAMES_PER_SECOND
from gr1_core.eval.calvin import video
from gr1_core.view.recording import Recording, ViewError, plain

RESULTS, CHAINS = "results.json", "results.jsonl"
_TILES = ("cameras/static", "cameras/wrist", "predicted/static", "predicted/wrist")
_JPEG_QUALITY = 90


class Results:
    """A results folder. Raises ViewError for one that cannot be used.

    document: of results.json. chains: rows of results.jsonl, of CALVIN alone. sheets: contact sheets.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.document = _json(folder / RESULTS, (folder / RESULTS).read_text())
        self.calvin = "chains" in self.document and "suites" not in self.document
        if not self.calvin and not isinstance(self.document.get("episodes"), list):
            raise ViewError(
                f"{folder / RESULTS} is not of `gr1 evaluate sim` or `gr1 evaluate calvin`: it has neither "
                "`episodes` nor `chains`"
            )
        self.chains: list[dict] = []
        if self.calvin and (folder / CHAINS).is_file():
            lines = (folder / CHAINS).read_text().splitlines()[1:]
            self.chains = [_json(folder / CHAINS, line) for line in lines if line.strip()]
        self.sheets = [*sorted(folder.glob("rollouts-*.png")), *folder.glob("predicted.png")]
        if self.calvin:
            self.sheets = []
        if not (self.document.get("episodes") if not self.calvin else self.chains):
            raise ViewError(f"{folder} holds no episode: the evaluation has not played one")

    def groups(self) -> set[str]:
        found = {"lanes", "instruction", "tasks_in_a_row" if self.calvin else "success_rate"}
        found |= {f"sheets/{path.stem}" for path in self.sheets}
        for chain in self.chains:
            if (path := self.video(chain)) is not None:
                found |= set(_TILES[: len(next(video.tiles_of(path)))])
        return found

    def video(self, chain: dict) -> Path | None:
        path = self.folder / f"chain-{chain['chain']:04d}.mp4"
        return path if path.is_file() else None


def show(results: Results, to: Recording, on_progress: Callable[[float], None]) -> None:
    """Writes an evaluation to a recording. Raises ViewError."""
    to.at(0.0)
    for path in results.sheets:
        to.image(f"sheets/{path.stem}", path.read_bytes())
    try:
        if results.calvin:
            _chains(results, to, on_progress)
        else:
            _episodes(results, to, on_progress)
    except (KeyError, TypeError) as error:
        raise ViewError(
            f"{results.folder}: a row of the results lacks or misuses {error}: it was written by another "
            "version; evaluate again"
        ) from error


def _episodes(results: Results, to: Recording, on_progress: Callable[[float], None]) -> None:
    rows, start, won = results.document["episodes"], 0.0, 0
    head = _suites(results.document)
    for number, row in enumerate(rows):
        outcome = "success" if row["success"] else row["failure"] or "failure"
        to.at(start)
        objects = ", ".join(map(str, row["objects"]))
        to.instruction(
            row["instruction"], f"{row['suite']}, seed {row['seed']}, {objects}: **{outcome}**\n\n{head}"
        )
        to.lane("episode", f"{row['suite']} {row['task']}")
        to.lane("outcome", "success" if row["success"] else outcome)
        start += row["seconds"]
        won += bool(row["success"])
        to.at(start)
        to.curve("success_rate/all", won / (number + 1))
        on_progress((number + 1) / len(rows))
    for lane in ("instruction", "episode", "outcome"):
        to.lane(lane, None)


def _suites(document: dict) -> str:
    """The table of the suites, in Markdown."""
    rows = ["| suite | successes | 95 % |", "|---|---|---|"]
    for name, row in document["suites"].items():
        if name == "chains":
            interval = f"{row['low']:.2f} .. {row['high']:.2f}"
            rows.append(f"| chains | mean {row['mean']:.2f} of {row['chains']} | {interval} |")
        else:
            interval = f"{100 * row['low']:.0f} .. {100 * row['high']:.0f} %"
            rows.append(f"| {plain(name)} | {row['successes']} of {row['episodes']} | {interval} |")
    return "\n".join(rows)


def _chains(results: Results, to: Recording, on_progress: Callable[[float], None]) -> None:
    document, start, total = results.document, 0.0, 0
    head = (
        f"{document['chains']} chains, mean length **{document['mean']:.2f}** "
        f"({document['low']:.2f} .. {document['high']:.2f})"
    )
    for number, chain in enumerate(results.chains):
        at = start
        for place, steps in enumerate(chain["steps"]):
            done = place < chain["done"]
            to.at(at)
            to.instruction(
                chain["instructions"][place], f"chain {chain['chain']}, task {place + 1}\n\n{head}"
            )
            to.lane("episode", f"chain {chain['chain']} {chain['tasks'][place]}")
            to.lane("outcome", "success" if done else "failure")
            at += steps / FRAMES_PER_SECOND
        if (path := results.video(chain)) is not None:
            for frame, tiles in enumerate(video.tiles_of(path)):
                to.at(start + frame / FRAMES_PER_SECOND)
                for group, tile in zip(_TILES, tiles):
                    to.image(group, images.encode_jpeg(np.ascontiguousarray(tile), _JPEG_QUALITY))
        start, total = at, total + chain["done"]
        to.at(start)
        to.curve("tasks_in_a_row/mean", total / (number + 1))
        on_progress((number + 1) / len(results.chains))
    for lane in ("instruction", "episode", "outcome"):
        to.lane(lane, None)


def _json(path: Path, text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ViewError(f"{path} is not complete JSON ({error}): evaluate again") from error
    if not isinstance(value, dict):
        raise ViewError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
