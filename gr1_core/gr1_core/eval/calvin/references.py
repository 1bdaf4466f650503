"""Published results on CALVIN's long-horizon evaluation in environment D, to stand beside one's own.

None was measured here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """rates: share of the chains with 1 ..

    5 tasks in a row; None where the source at hand names only the mean length.

    published: in the paper of GR-1 (Wu et al., ICLR 2024), tables 1 and 2; else self-reported by the method's
    authors.
    """

    name: str
    data: str
    rates: tuple[float | None, ...]
    mean: float
    published: bool


def _paper(name: str, data: str, rates: tuple[float, ...], mean: float) -> Reference:
    return Reference(name, data, rates, mean, True)


def _reported(name: str, data: str, mean: float) -> Reference:
    return Reference(name, data, (None,) * 5, mean, False)


REFERENCES = (
    _paper("MCIL", "ABCD->D", (0.373, 0.027, 0.002, 0.0, 0.0), 0.40),
    _paper("RT-1", "ABCD->D", (0.844, 0.617, 0.438, 0.323, 0.227), 2.45),
    _paper("HULC", "ABCD->D", (0.889, 0.733, 0.587, 0.475, 0.383), 3.06),
    _paper("MT-R3M", "ABCD->D", (0.752, 0.527, 0.375, 0.258, 0.163), 2.08),
    _paper("GR-1", "ABCD->D", (0.949, 0.896, 0.844, 0.789, 0.731), 4.21),
    _paper("MCIL", "ABC->D", (0.304, 0.013, 0.002, 0.0, 0.0), 0.31),
    _paper("RT-1", "ABC->D", (0.533, 0.222, 0.094, 0.038, 0.013), 0.90),
    _paper("HULC", "ABC->D", (0.418, 0.165, 0.057, 0.019, 0.011), 0.67),
    _paper("MT-R3M", "ABC->D", (0.529, 0.234, 0.105, 0.043, 0.018), 0.93),
    _paper("GR-1", "ABC->D", (0.854, 0.712, 0.596, 0.497, 0.401), 3.06),
    _reported("GR1-Training, chunks", "ABC->D", 3.556),
    _reported("GR-MG", "ABC->D", 4.04),
    _reported("Seer", "ABC->D", 4.28),
    _reported("VPP", "ABC->D", 4.33),
    _reported("DreamVLA", "ABC->D", 4.44),
    _reported("FLOWER, 950 M", "ABC->D", 4.53),
    _reported("Xiaomi-Robotics-0, 4.7 B", "ABC->D", 4.75),
    _reported("MMaDA-VLA", "not stated", 4.78),
    _reported("FLOWER, 950 M", "ABCD->D", 4.67),
    _reported("Xiaomi-Robotics-0, 4.7 B", "ABCD->D", 4.80),
)
