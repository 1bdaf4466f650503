"""Narration templates in the style of Ego4D: one statement in the present tense; the person is "C".

The verbs differ from those of the robot's instructions; the nouns of the objects are the same.
"""

from __future__ import annotations

PUSH = (
    "pushes {object}",
    "pushes {object} on the table",
    "moves {object}",
    "slides {object} forward",
    "shifts {object}",
    "nudges {object}",
)
OPEN = (
    "opens {object}",
    "pulls {object}",
    "pulls out {object}",
    "opens {object} of the cabinet",
    "pulls {object} open",
)
CLOSE = (
    "closes {object}",
    "shuts {object}",
    "pushes {object}",
    "pushes {object} in",
    "closes {object} of the cabinet",
)
_PICK = (
    "picks {object}",
    "picks up {object}",
    "picks {object} from the table",
    "takes {object} from the table",
    "lifts {object}",
)
_PICK += ("grabs {object}", "holds {object}", "lifts {object} from the table", "collects {object}")
_PUT = (
    "puts {object} on the table",
    "places {object} on the table",
    "drops {object} on the table",
    "puts down {object}",
)
_PUT += ("keeps {object} on the table", "sets {object} on the table")


def pick_templates(noun: str | None, preposition: str = "on") -> tuple[str, ...]:
    """Templates with {object} for picking. noun: what the object is taken from; None: the table.

    preposition: "on" or "in", how the object is placed there.
    """
    if noun is None:
        return _PICK
    off = "out of" if preposition == "in" else "off"
    verbs = (
        "removes {object} from",
        "takes {object} from",
        "picks {object} from",
        "takes {object} " + off,
        "lifts {object} " + off,
    )
    return tuple(f"{verb} the {noun}" for verb in verbs)


def put_templates(noun: str | None, preposition: str = "on") -> tuple[str, ...]:
    """Templates with {object} for putting. noun: what the object is put on or into; None: the table.
    preposition: "on" or "in".
    """
    if noun is None:
        return _PUT
    return tuple(
        f"{verb} {{object}} {preposition} the {noun}"
        for verb in ("puts", "places", "drops", "keeps", "sets", "puts down")
    )
