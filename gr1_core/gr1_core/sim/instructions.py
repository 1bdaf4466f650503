"""Instruction templates of each kind of task: one set for training, one held out for tests.

A held-out instruction never occurs in training, but nearly all of its words do, with the same meaning. The
test is about new combinations of known words, not about unknown words. The pretrained small model reads a bag
of words, so word order is not tested.
"""

from __future__ import annotations

_TRAINING = {
    "pick": (
        "pick up the {}",
        "grasp the {} and lift it",
        "lift the {} off the table",
        "take hold of the {} and raise it",
        "pick the {} up",
        "lift up the {}",
        "grab the {} and hold it up",
        "raise the {} above the table",
        "grip the {} and lift it up",
        "pick up the {} and hold it in the air",
        "hold the {} up in the air",
        "grasp the {} and raise it into the air",
    ),
    "put": (
        "put the {} on the plate",
        "place the {} on the plate",
        "move the {} onto the plate",
        "set the {} down on the plate",
        "put the {} onto the plate",
        "lay the {} on the plate",
        "bring the {} to the plate",
        "carry the {} to the plate and put it down",
        "pick up the {} and put it on the plate",
        "grasp the {} and place it on the plate",
        "the {} goes on the plate",
        "leave the {} on the plate",
    ),
    "take": (
        "take the {} from the plate",
        "remove the {} from the plate",
        "move the {} off the plate",
        "take the {} off the plate and put it on the table",
        "take the {} off the plate",
        "clear the {} off the plate",
        "move the {} from the plate to the table",
        "lift the {} off the plate and set it on the table",
        "remove the {} from the plate and leave it on the table",
        "get the {} off the plate",
        "bring the {} from the plate onto the table",
        "pick the {} up from the plate and place it on the table",
    ),
    "open": (
        "open the drawer",
        "pull the drawer open",
        "pull the handle to open the drawer",
        "slide the drawer out",
        "pull the drawer out",
        "open the drawer by its handle",
        "take hold of the handle and pull",
        "draw the drawer open",
        "grasp the handle and pull the drawer out",
        "slide the drawer open",
        "get hold of the handle and open the drawer",
        "the drawer should be open",
    ),
    "close": (
        "close the drawer",
        "push the drawer shut",
        "push the drawer in until it is closed",
        "slide the drawer back in",
        "push the drawer closed",
        "push the drawer back in",
        "slide the drawer shut",
        "push in the drawer",
        "close the drawer by pushing it in",
        "move the drawer in until it is shut",
        "the drawer should be shut",
        "push the drawer to close it",
    ),
}
_HELD_OUT = {
    "pick": (
        "raise the {} into the air",
        "grab the {} and lift it up",
        "take hold of the {} and pick it up",
        "raise the {} off the table",
        "grasp the {} and hold it above the table",
    ),
    "put": (
        "the {} belongs on the plate",
        "bring the {} to the plate and leave it there",
        "place the {} onto the plate",
        "carry the {} onto the plate and set it down",
        "grasp the {} and lay it on the plate",
    ),
    "take": (
        "clear the {} from the plate",
        "put the {} from the plate onto the table",
        "take the {} off the plate and leave it on the table",
        "get the {} from the plate to the table",
        "lift the {} from the plate and place it on the table",
    ),
    "open": (
        "get the drawer open",
        "draw out the drawer by its handle",
        "grasp the handle and open the drawer",
        "pull the drawer out by the handle",
        "slide the drawer out until it is open",
    ),
    "close": (
        "shut the drawer",
        "the drawer should be closed",
        "slide the drawer in until it is shut",
        "push the drawer back until it is closed",
        "close the drawer by sliding it back in",
    ),
}
KINDS = tuple(_TRAINING)


def instructions_for(kind: str, noun: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns (training instructions, the first one canonical; held-out instructions).

    kind: pick, put or take, which need the noun ("bell pepper"), open or close, which have none. Raises
    ValueError for an unknown kind and for a noun that is missing or superfluous.
    """
    if kind not in _TRAINING:
        raise ValueError(f"no instructions for '{kind}': kinds are {', '.join(KINDS)}")
    if (noun is None) == ("{}" in _TRAINING[kind][0]):
        raise ValueError(
            f"instructions for '{kind}' {'need a' if noun is None else 'have no'} noun"
            + (f", got '{noun}'" if noun else "")
        )
    return tuple(tuple(text.format(noun) for text in group[kind]) for group in (_TRAINING, _HELD_OUT))
