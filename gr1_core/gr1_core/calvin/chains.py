"""The official evaluation's chains: 1000 initial conditions with five tasks each, as the checkout's
get_sequences makes them.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gr1_core.calvin.checkout import Checkout, CheckoutError

OFFICIAL = 1000
LENGTH = 5


@dataclass(frozen=True)
class Chain:
    """number: its place in the official list.

    condition: where everything is at the start, as get_sequences says it. tasks: five names.
    """

    number: int
    condition: dict
    tasks: tuple[str, ...]


def chains(checkout: Checkout, count: int = OFFICIAL) -> list[Chain]:
    """The first `count` of the 1000 official chains.

    The list takes a minute and a half to make and is kept in the user's cache folder.
    """
    if not 1 <= count <= OFFICIAL:
        raise CheckoutError(
            f"--chains {count}: the official list has {OFFICIAL} chains, choose 1 to {OFFICIAL}"
        )
    return [
        Chain(number, condition, tuple(tasks))
        for number, (condition, tasks) in enumerate(_official(checkout)[:count])
    ]


def digest(checkout: Checkout) -> str:
    """SHA-256 of the whole list's JSON: [[condition, [tasks]], ...], sorted keys, no spaces."""
    return hashlib.sha256(_text(_official(checkout)).encode()).hexdigest()


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gr1" / "calvin"


def _official(checkout: Checkout) -> list:
    source = (
        checkout.root / "calvin_models" / "calvin_agent" / "evaluation" / "multistep_sequences.py"
    ).read_bytes()
    key = hashlib.sha256(source).hexdigest()[:16]
    path = cache_folder() / f"chains-{OFFICIAL}-{key}.json"
    if path.is_file():
        try:
            stored = json.loads(path.read_text())
            if hashlib.sha256(_text(stored["chains"]).encode()).hexdigest() == stored["sha256"]:
                return stored["chains"]
        except (ValueError, KeyError, TypeError):
            pass  # cut off or edited: made anew
    made = make(checkout, OFFICIAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(
        json.dumps({"sha256": hashlib.sha256(_text(made).encode()).hexdigest(), "chains": made})
    )
    os.replace(partial, path)
    return made


def make(checkout: Checkout, count: int) -> list:
    """[[condition, [task, ...]], ...] of get_sequences(count), in this process.

    The original's workers seed numpy's global generator in processes of their own; here its state is put back
    after each, or the final shuffle would give another order.
    """
    module = checkout.sequences_module()
    work = module["get_sequences_for_state2"]

    def isolated(arguments):
        state = np.random.get_state()
        try:
            return work(arguments)
        finally:
            np.random.set_state(state)

    class InProcess:
        """Has the calls of ProcessPoolExecutor that get_sequences makes."""

        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def map(self, _, items):
            return map(isolated, items)

    module["ProcessPoolExecutor"] = InProcess
    state = np.random.get_state()
    try:
        made = module["get_sequences"](count)
    finally:
        np.random.set_state(state)
    return [[dict(condition), [str(task) for task in tasks]] for condition, tasks in made]


def _text(value) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
