"""The report's table of episodes that differ from the others of their task."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from gr1_core.data import metadata
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.outliers import EpisodeFigures, Outlier, episode_figures, rank_outliers
from gr1_core.rig import Rig

MAX_ROWS = 100
_MAX_COMPARED = 20_000


class OutlierTable:
    """Add the episodes in their order. Datasets of videos have no figures to compare."""

    def __init__(self, rig: Rig | None):
        self._rig = rig
        self._figures: list[EpisodeFigures] = []

    def add_episode(self, episode: Episode) -> None:
        if self._rig is None or len(self._figures) >= _MAX_COMPARED:
            return
        info, steps = episode.info, len(episode.state)
        streams = [row for topic, row in info.get("streams", {}).items() if "/camera/" in f"/{topic}"]
        sent = [(row["received"], row["received"] + metadata.count_lost(row)) for row in streams]
        lost = max((1.0 - received / total for received, total in sent if total), default=0.0)
        marked = info.get("recorded_steps", steps) - info.get("trimmed_steps", 0)
        lost = max(lost, (marked - steps) / marked if marked > 0 else 0.0)
        repeated = max(info.get("repeated_frames", {}).values(), default=0) / max(steps - 1, 1)
        state, action = np.asarray(episode.state), np.asarray(episode.action)
        self._figures.append(
            episode_figures(episode.name, episode.task, state, action, self._rig, lost, repeated)
        )

    def html(self, duplicates: Sequence[Sequence[int]]) -> str:
        """The section, "" if no episode differs. duplicates: groups of episode numbers."""
        groups = [[index for index in group if index < len(self._figures)] for group in duplicates]
        ranked = rank_outliers(self._figures, groups)
        if not ranked:
            return ""
        more = f" The first {MAX_ROWS} of {len(ranked)}." if len(ranked) > MAX_ROWS else ""
        text = (
            "Compared with the other episodes of the same instruction, the worst first; a score of 1 is 4 "
            "standard deviations from the median. Look at them, then trim or exclude their recordings "
            f"(`gr1 bags trim`, `gr1 bags exclude`) and convert again.{more}"
        )
        rows = "".join(map(_row, ranked[:MAX_ROWS]))
        head = "<tr><th class=number>#</th><th>name</th><th class=number>score</th><th>why</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return f"<h2>Outliers</h2><p>{escape(text)}</p><div class=panel>{table}</div>"


def _row(outlier: Outlier) -> str:
    why = escape("; ".join(outlier.reasons))
    return (
        f"<tr><td class=number>{outlier.index}</td><td>{escape(outlier.name)}</td>"
        f"<td class=number>{outlier.score:.1f}</td><td class=wide>{why}</td></tr>"
    )
