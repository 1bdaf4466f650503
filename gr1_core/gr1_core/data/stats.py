"""Statistics of a dataset in LeRobot's layout: per episode and feature min, max, mean, std, count and five
quantiles.

Images are sampled (`sampled_frames`), thinned to about 150 pixels and counted in [0, 1] per channel; other
features count in full. Totals: parallel variance, extremes, and quantiles as the count-weighted mean of the
episodes' quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gr1_core import images

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)


def value_statistics(values: np.ndarray) -> dict[str, list]:
    """[T] or [T, n] numbers -> each statistic as a list of n."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    found |= dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values()), axis=0)))
    return {name: value.tolist() for name, value in found.items()} | {"count": [len(values)]}


def image_statistics(encoded: Sequence[bytes]) -> dict[str, list]:
    """T JPEG or PNG -> each statistic as a nested list [3][1][1]; `count` is the number of sampled images."""
    counts, chosen = np.zeros((3, 256), np.int64), sampled_frames(len(encoded))
    for index in chosen:
        image = images.decode(encoded[index])
        thin = _thinning(*image.shape[:2])
        for channel in range(3):
            counts[channel] += np.bincount(image[::thin, ::thin, channel].ravel(), minlength=256)
    levels, total = np.arange(256) / 255, counts.sum(1, keepdims=True)
    cumulative = np.cumsum(counts, 1)
    mean = (counts @ levels)[:, None] / total
    found = {
        "min": levels[(counts > 0).argmax(1)],
        "max": levels[255 - (counts > 0)[:, ::-1].argmax(1)],
        "mean": mean[:, 0],
        "std": np.sqrt((counts * (levels - mean) ** 2).sum(1) / total[:, 0]),
    }
    # The lower of the two order statistics: levels are 1/255 apart, interpolation adds nothing.
    found |= {
        name: levels[(cumulative >= np.maximum(1, q * total)).argmax(1)] for name, q in QUANTILES.items()
    }
    return {name: value.reshape(3, 1, 1).tolist() for name, value in found.items()} | {"count": [len(chosen)]}


def sampled_frames(length: int) -> np.ndarray:
    """Indices of the sampled images among `length`: all up to 100, then 100, from 464 on length ** 0.75, at
    most 10 000.
    """
    number = max(min(length, 100), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, number)).astype(int)


def _thinning(height: int, width: int) -> int:
    return 1 if max(height, width) < 300 else int(max(height, width) / 150)


class StatisticsTotal:
    """Accumulates the statistics of episodes."""

    def __init__(self):
        self._features: dict[str, dict[str, np.ndarray]] = {}

    def add(self, episode: Mapping[str, Mapping[str, list]]) -> None:
        for feature, values in episode.items():
            new = {name: np.asarray(value, np.float64) for name, value in values.items()}
            new["square"] = new.pop("std") ** 2 + new["mean"] ** 2
            old = self._features.get(feature)
            self._features[feature] = new if old is None else _joined(old, new)

    def values(self) -> dict[str, dict[str, list]]:
        """feature -> statistic -> (nested) list."""
        return {feature: _finished(total) for feature, total in self._features.items()}


def _joined(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = a["count"] + b["count"]
    share = float(b["count"][0] / count[0])
    joined = {name: a[name] + share * (b[name] - a[name]) for name in ("mean", "square", *QUANTILES)}
    return joined | {
        "min": np.minimum(a["min"], b["min"]),
        "max": np.maximum(a["max"], b["max"]),
        "count": count,
    }


def _finished(total: Mapping[str, np.ndarray]) -> dict[str, list]:
    std = np.sqrt(np.maximum(total["square"] - total["mean"] ** 2, 0))
    values = {**total, "std": std}
    return {
        name: values[name].astype(np.int64).tolist() if name == "count" else values[name].tolist()
        for name in NAMES
    }
