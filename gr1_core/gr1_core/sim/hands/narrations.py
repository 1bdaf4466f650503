"""What an annotator says to an action, in the style of Ego4D: one sentence in the present tense, the person is "C".

Other words than those that the robot is told; the names of the things are the same.
"""

from __future__ import annotations

PUSH = (
    "pushes {thing}",
    "pushes {thing} on the table",
    "moves {thing}",
    "slides {thing} forward",
    "shifts {thing}",
    "nudges {thing}",
)
OPEN = (
    "opens {thing}",
    "pulls {thing}",
    "pulls out {thing}",
    "opens {thing} of the cabinet",
    "pulls {thing} open",
)
CLOSE = (
    "closes {thing}",
    "shuts {thing}",
    "pushes {thing}",
    "pushes {thing} in",
    "closes {thing} of the cabinet",
)
_PICK = (
    "picks {thing}",
    "picks up {thing}",
    "picks {thing} from the table",
    "takes {thing} from the table",
    "lifts {thing}",
)
_PICK += ("grabs {thing}", "holds {thing}", "lifts {thing} from the table", "collects {thing}")
_PUT = (
    "puts {thing} on the table",
    "places {thing} on the table",
    "drops {thing} on the table",
    "puts down {thing}",
)
_PUT += ("keeps {thing} on the table", "sets {thing} on the table")


def pick(noun: str | None, word: str = "on") -> tuple[str, ...]:
    """Templates with {thing}. noun: what it lies on or in (word: "on" or "in"); None: the table."""
    if noun is None:
        return _PICK
    off = "out of" if word == "in" else "off"
    verbs = (
        "removes {thing} from",
        "takes {thing} from",
        "picks {thing} from",
        "takes {thing} " + off,
        "lifts {thing} " + off,
    )
    return tuple(f"{verb} the {noun}" for verb in verbs)


def put(noun: str | None, word: str = "on") -> tuple[str, ...]:
    """Templates with {thing}. noun: what it is put on or into; None: the table."""
    if noun is None:
        return _PUT
    return tuple(
        f"{verb} {{thing}} {word} the {noun}"
        for verb in ("puts", "places", "drops", "keeps", "sets", "puts down")
    )
