"""Damages copies of a bag and counts what verification, recovery, list and conversion make of them.

    .venv/bin/python scripts/damage_bags.py BAG --flips 500 --cuts 500 --mutations 1000

flips: one random byte changed, in the .mcap. cuts: the .mcap truncated at a random place. mutations:
random edits of the .mcap, of metadata.yaml (bytes, lines, values) or of both. For each copy: `verify`
must name the damage, `recover` must lose at most the messages of the chunk that was hit, no bag with
messages may be called empty, and nothing may raise anything but a refusal. Prints one JSON document with
the messages lost per copy (of those that are in the file at all); exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from gr1_core import cli
from gr1_core.data import bag_table
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.mcap_scan import McapScan
from gr1_core.data.recovery import recover_bag
from gr1_core.data.steps import StepsError, select_steps
from gr1_core.data.verification import verify_bag
from gr1_core.rig import RigError

HANG_S = 60
REFUSALS = (BagError, StepsError, RigError, ValueError)
_VALUES = (
    "",
    "x",
    "-1",
    "[]",
    "{}",
    "null",
    "1e400",
    "&a [*a]",
    "\u0000",
    "!!python/none",
    "0x",
    "2024-01-01",
)


class Hang(Exception):
    pass


class Original:
    """A whole bag: its bytes, its messages and where its chunks are."""

    def __init__(self, folder: Path):
        bag = Bag(folder)
        self.name, self.data = bag.path.name, bag.path.read_bytes()
        self.metadata = (folder / "metadata.yaml").read_text()
        self.messages = Counter(_key(message) for message in bag.messages())
        self.count = sum(self.messages.values())
        with open(bag.path, "rb") as stream:
            scan = McapScan(stream)
            self.chunks = [(piece.start, piece.end, piece.count) for piece in scan.pieces]
            first = scan.messages(scan.pieces[0])[0].data
            self.first_message_end = bytes(scan.view).find(bytes(first)) + len(first)

    def hit(self, start: int, end: int) -> int:
        """Messages of the chunks that bytes start .. end touch."""
        return sum(count for first, last, count in self.chunks if first < end and start < last)

    def write(self, folder: Path, data: bytes, metadata: str | None) -> Path:
        folder.mkdir(parents=True)
        (folder / self.name).write_bytes(data)
        if metadata is not None:
            (folder / "metadata.yaml").write_text(metadata)
        return folder


class Tally:
    """Counts over all copies. failures: texts of what should not be."""

    def __init__(self):
        self.lost, self.failures, self.refusals = [], [], Counter()

    def check(self, ok: bool, what: str) -> None:
        if not ok:
            self.failures.append(what)


def flip(original: Original, rng: random.Random) -> tuple[bytes, int, int, str]:
    """(bytes, messages of the chunk that is hit, messages that are not there at all, description)."""
    data, at = bytearray(original.data), rng.randrange(len(original.data))
    data[at] ^= rng.randrange(1, 256)
    return bytes(data), original.hit(at, at + 1), 0, f"byte {at}"


def cut(original: Original, rng: random.Random) -> tuple[bytes, int, int, str]:
    size = rng.randrange(len(original.data))
    later = sum(count for start, _, count in original.chunks if start >= size)
    if size < original.first_message_end:
        return original.data[:size], 0, original.count, f"cut to {size}, before the first message's end"
    return original.data[:size], original.hit(size, size + 1), later, f"cut to {size}"


def mutate(original: Original, rng: random.Random) -> tuple[bytes, str, str]:
    """(bytes, metadata.yaml, description)."""
    data, lines = bytearray(original.data), original.metadata.splitlines()
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        kind = rng.choice(("byte", "block", "move", "cut", "line", "value", "letter", "repeat"))
        at = rng.randrange(len(data) or 1)
        length = min(rng.choice((1, 8, 64, 4096)), len(data))
        number = rng.randrange(len(lines) or 1)
        if kind == "byte" and data:
            data[at] = rng.randrange(256)
        elif kind == "block":
            data[at : at + length] = rng.randbytes(length)
        elif kind == "move":
            data[at:at] = data[at : at + length]
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "line" and lines:
            del lines[number]
        elif kind == "value" and lines and ":" in lines[number]:
            lines[number] = lines[number].split(":")[0] + ": " + rng.choice(_VALUES)
        elif kind == "letter" and lines and lines[number]:
            place = rng.randrange(len(lines[number]))
            lines[number] = lines[number][:place] + chr(rng.randrange(1, 300)) + lines[number][place + 1 :]
        elif kind == "repeat" and lines:
            lines.insert(number, lines[rng.randrange(len(lines))])
        done.append(f"{kind} {at if kind in ('byte', 'block', 'move', 'cut') else number}")
    return bytes(data), "\n".join(lines) + "\n", ", ".join(done)


def examine_damage(
    original: Original, folder: Path, data: bytes, hit: int, absent: int, what: str, tally: Tally
) -> None:
    """One damaged .mcap: with metadata.yaml it must be named, without it it must be saved."""
    whole = original.write(folder / "with", data, original.metadata)
    problems = verify_bag(whole)
    tally.check(
        any(problem.startswith(("checksum:", "cut off:")) for problem in problems), f"{what}: not named"
    )
    bare = original.write(folder / "without", data, None)
    for bag in (whole, bare):
        try:
            recovered = recover_bag(bag)
        except BagError as error:
            tally.refusals[str(error).split(": ", 1)[-1][:60]] += 1
            tally.check(hit + absent >= original.count, f"{what}: refused: {error}")
            continue
        if recovered is None:
            tally.check(False, f"{what}: nothing to do")
        elif not recovered.messages:
            tally.check(absent == original.count, f"{what}: called empty")
        else:
            saved = Counter(_key(message) for message in Bag(bag).messages())
            lost = original.count - absent - sum((original.messages & saved).values())
            tally.lost.append(lost)
            tally.check(not saved - original.messages, f"{what}: messages that were never recorded")
            tally.check(lost <= hit, f"{what}: {lost} lost, {hit} in the chunk")
            after = verify_bag(bag)
            tally.check(
                not [line for line in after if not line.startswith(("gap:", "missing:", "lost:", "slow:"))],
                f"{what}: after the recovery: {after}",
            )


def examine_mutation(original: Original, folder: Path, data: bytes, text: str, tally: Tally) -> None:
    bag = original.write(folder / "bags" / "mutated", data, text)
    outcomes = []
    for name, action in (
        ("list", lambda: bag_table.bag_row(bag, True)),
        ("verify", lambda: verify_bag(bag)),
        ("steps", lambda: select_steps(Bag(bag))),
        ("relabel", lambda: _command("bags", "relabel", bag, "--note", "x")),
        ("recover", lambda: _command("bags", "recover", bag)),
    ):
        try:
            action()
            outcomes.append(f"{name} ok")
        except REFUSALS as error:
            tally.check(_is_refusal(error), f"{name}: {type(error).__name__}: {error}")
            outcomes.append(f"{name} refused")
    tally.refusals[", ".join(outcomes)] += 1


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, (BagError, StepsError, RigError)) or type(error).__module__.startswith(
        "gr1_core"
    )


def _command(*arguments) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        code = cli.main([str(argument) for argument in arguments])
    if "Traceback" in errors.getvalue():
        raise AssertionError(errors.getvalue())
    return code


def _key(message) -> tuple:
    return message.topic, message.log_time, message.publish_time, hash(bytes(message.data))


def damage(folder: Path, flips: int, cuts: int, mutations: int, seed: int = 1) -> dict:
    """Runs all copies; returns the figures, `failures` among them."""
    original, rng, figures = Original(folder), random.Random(seed), {}
    signal.signal(signal.SIGALRM, _hang)
    for name, count, make in (("flips", flips, flip), ("cuts", cuts, cut), ("mutations", mutations, mutate)):
        tally = Tally()
        for number in range(count):
            with tempfile.TemporaryDirectory() as temporary:
                data, *given, what = make(original, rng)
                what = f"{name} {number} ({what})"
                signal.alarm(HANG_S)
                try:
                    if name == "mutations":
                        examine_mutation(original, Path(temporary), data, *given, tally)
                    else:
                        examine_damage(original, Path(temporary), data, *given, what, tally)
                except Hang:
                    tally.failures.append(f"{what}: more than {HANG_S} s")
                except Exception:
                    tally.failures.append(f"{what}: {traceback.format_exc()}")
                signal.alarm(0)
        lost = sorted(tally.lost)
        figures[name] = {
            "copies": count,
            "messages": original.count,
            "chunks": len(original.chunks),
            "lost_median": lost[len(lost) // 2] if lost else None,
            "lost_most": lost[-1] if lost else None,
            "lost_nothing": sum(not number for number in lost),
            "outcomes": dict(tally.refusals.most_common(12)),
            "failures": tally.failures,
        }
    return figures


def _hang(*_) -> None:
    raise Hang


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bag", type=Path)
    for name, default in (("flips", 500), ("cuts", 500), ("mutations", 1000), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    figures = damage(options.bag, options.flips, options.cuts, options.mutations, options.seed)
    print(json.dumps(figures, indent=1))
    return 1 if any(one["failures"] for one in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
