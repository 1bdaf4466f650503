"""Former names in files and options: refused with the new name. Weights are renamed when they are loaded."""

RIG_KEYS = {
    "limits.leash": "limits.max_following_error",
    "limits.leash_angle": "limits.max_following_angle",
}
RECIPE_KEYS = {"evaluation.pictures": "evaluation.images"}
CONFIG_VALUES = {("vision", "film"): "conv_film"}
OPTIONS = {
    "collect sim": {"--glimpses": "--single-frames"},
    "evaluate sim": {"--columns": "--suites"},
}
"""Command -> old option -> new one."""
WEIGHTS = {"vision.sentence.": "vision.condition.", "vision.films.": "vision.film_layers."}
"""Beginnings of tensor names in checkpoints of `vision: conv_film`, such as the shipped one."""


def current_weight_name(name: str) -> str:
    """Today's name of a checkpoint's tensor."""
    for old, new in WEIGHTS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
