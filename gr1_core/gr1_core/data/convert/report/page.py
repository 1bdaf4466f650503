"""The quality report of a dataset: one self-contained HTML page. Sections that do not apply are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gr1_core.data.convert.report import charts, survey
from gr1_core.data.convert.report.findings import Finding, find_problems
from gr1_core.data.convert.report.outlier_table import OutlierTable
from gr1_core.data.convert.report.style import CSS
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.dataset_writer import ACTION_NAMES, STATE_NAMES
from gr1_core.plural import plural
from gr1_core.rig import Rig

MAX_PREVIEWS = 120
"""Episodes shown with thumbnails, evenly spread."""
MAX_ROWS, MAX_BARS, MAX_PATHS = 1000, 25, 300


class Report:
    """Add the episodes in their order, then write the page. The same episodes give the same bytes."""

    def __init__(self, origin: str, fps: int, shapes: Mapping[str, tuple[int, int]], rig: Rig | None):
        self._origin, self._fps, self._shapes, self._rig = origin, fps, shapes, rig
        self._rows: list[survey.EpisodeRow] = []
        self._actions: list[np.ndarray] = []
        self._extremes: list[np.ndarray] = []
        self._streams = survey.StreamTotals()
        self._thumbnails: dict[int, Mapping[str, list[str]]] = {}
        self._stride = 1
        self._outliers = OutlierTable(rig)
        self._marked: list[tuple[int, str, str, int]] = []

    def add_episode(self, episode: Episode, preview: Mapping[str, Any]) -> None:
        """preview: of `episode_quality.episode_preview`."""
        index = len(self._rows)
        self._rows.append(survey.episode_row(index, episode, preview, self._rig))
        self._streams.add(episode)
        self._outliers.add_episode(episode)
        if marks := episode.info.get("marks"):
            self._marked.append((index, episode.name, marks, episode.info["trimmed_steps"]))
        if episode.action is not None:
            self._actions.append(np.array(episode.action))
            self._extremes.append(np.stack([episode.state.min(0), episode.state.max(0)]))
        if index % self._stride == 0:
            self._thumbnails[index] = preview["thumbnails"]
        if len(self._thumbnails) > MAX_PREVIEWS:
            self._stride *= 2
            self._thumbnails = {
                index: kept for index, kept in self._thumbnails.items() if index % self._stride == 0
            }

    def write_page(
        self, path: Path, skipped: Sequence[Mapping[str, str]], left_out: Sequence[Mapping[str, str]]
    ) -> list[str]:
        """Writes the page. skipped, left_out: {"name", "reason"} of episodes that are not in the dataset.

        Returns the titles of what it found, without that of what was skipped.
        """
        action = np.concatenate(self._actions) if self._actions else None
        saturation = survey.action_saturation(action, self._rig) if action is not None else None
        duplicates = survey.near_duplicates(self._rows)
        found = find_problems(self._rows, skipped, duplicates, saturation)
        sections = [self._head(skipped, left_out), self._findings(found)]
        sections += [self._outliers.html([[row.index for row in group] for group in duplicates])]
        sections += [_marked(self._marked), self._counts()]
        if action is not None:
            sections += [self._action(action, saturation), self._state()]
        sections += [self._stream_table(), self._gallery(found), self._table(), _left_out(left_out)]
        title = f"{plural(len(self._rows), 'episode')} from {self._origin}"
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{escape(title)}</title><style>{CSS}</style>"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "<!doctype html><html "
            f"lang=en><head>{head}</head><body>{''.join(filter(None, sections))}</body></html>\n"
        )
        return [finding.title for finding in (found[1:] if skipped else found)]

    def _head(self, skipped, left_out) -> str:
        frames = sum(row.frames for row in self._rows)
        kind = (
            f"demonstrations with rig <b>{escape(self._rig.name)}</b>"
            if self._rig
            else "videos without a robot"
        )
        cameras = ", ".join(f"{role} {width}x{height}" for role, (height, width) in self._shapes.items())
        tiles = [
            (len(self._rows), "episodes"),
            (f"{frames:,}".replace(",", " "), "frames"),
            (f"{frames / self._fps / 60:.1f}", f"minutes at {self._fps} Hz"),
            (len({row.task for row in self._rows}), "instructions"),
            (f"{np.median([row.frames for row in self._rows]) / self._fps:.1f}", "seconds, median episode"),
            (len(skipped), "skipped, damaged"),
        ]
        tiles += [(len(left_out), "left out by options and marks")] if left_out else []
        boxes = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in tiles)
        title = f"<h1>Dataset from {escape(self._origin)}</h1>"
        return f"{title}<p class=dim>{kind} · cameras {cameras}</p><div class=tiles>{boxes}</div>"

    def _findings(self, found: Sequence[Finding]) -> str:
        if not found:
            return _section(
                "Check before training",
                "",
                "<div class='finding good'><p>Nothing found: no defects, gaps, static or duplicate "
                "episodes.</p></div>",
            )
        blocks = []
        for finding in found:
            items = "".join(f"<li>{escape(line)}</li>" for line in finding.lines[:MAX_ROWS])
            items = f"<ul>{items}</ul>" if items else ""
            if len(finding.lines) > 6:
                shown = f"show {min(MAX_ROWS, len(finding.lines))} of {len(finding.lines)}"
                items = f"<details><summary>{shown}</summary>{items}</details>"
            text = f"<p><b>{escape(finding.title)}</b></p><p class=dim>{escape(finding.why)}</p>"
            blocks.append(f'<div class="finding {"bad" if finding.bad else ""}">{text}{items}</div>')
        return _section("Check before training", "", "".join(blocks))

    def _counts(self) -> str:
        seconds = np.array([row.frames for row in self._rows]) / self._fps
        left = [_panel("Length of the episodes, s", charts.histogram(seconds, width=560, height=120))]
        left += [self._counted("outcome", "Outcome"), self._counted("operator", "Operator")]
        right = self._counted("task", "Instruction")
        return _section(
            "Episodes", "", f"<div class=halves><div>{''.join(left)}</div><div>{right}</div></div>"
        )

    def _counted(self, field: str, title: str) -> str:
        counts = Counter(getattr(row, field) for row in self._rows).most_common()
        if not any(value for value, _ in counts):
            return ""
        more = f"<p class=dim>and {len(counts) - MAX_BARS} more</p>" if len(counts) > MAX_BARS else ""
        return _panel(title, charts.bars(counts[:MAX_BARS]) + more)

    def _action(self, action: np.ndarray, saturation: survey.ActionSaturation) -> str:
        rig = self._rig
        limits = [rig.limits.linear_speed * rig.period / rig.action.translation_scale] * 3
        limits += [rig.limits.angular_speed * rig.period / rig.action.rotation_scale] * 3
        units = [f"{1e3 * rig.action.translation_scale:g} mm"] * 3 + [
            f"{1e3 * rig.action.rotation_scale:g} mrad"
        ] * 3
        quantiles = np.quantile(action, (0.01, 0.5, 0.99), axis=0)
        panels = []
        for axis, name in enumerate(ACTION_NAMES[:6]):
            low, middle, high = (f"{value:.2f}".replace("-0.00", "0.00") for value in quantiles[:, axis])
            extreme = f"at the largest value in {100 * saturation.extreme[axis]:.1f} % of the steps"
            below = f"1 %: {low}, median: {middle}, 99 %: {high}; {extreme}"
            chart = charts.histogram(action[:, axis], limits[axis])
            panels.append(
                _panel(
                    f"{name} <span class=dim>1 = {units[axis]} per step</span>",
                    f"{chart}<p class=dim>{below}</p>",
                )
            )
        opened = int((action[:, 6] > 0).sum())
        panels.append(
            _panel("gripper", charts.bars([("open, +1", opened), ("closed, -1", len(action) - opened)]))
        )
        text = (
            f"In the model's units; dashed: the rig's speed limit, {rig.limits.linear_speed:g} m/s and "
            f"{rig.limits.angular_speed:g} rad/s, "
            f"which {100 * saturation.linear:.1f} % and {100 * saturation.angular:.1f} % of the steps reach. "
            "Counts on a square-root scale."
        )
        return _section("Actions", text, f"<div class=columns>{''.join(panels)}</div>")

    def _state(self) -> str:
        paths = [row.path for row in self._rows[:: max(1, len(self._rows) // MAX_PATHS)]]
        box = np.array([self._rig.limits.workspace_min, self._rig.limits.workspace_max])
        least, most = (
            choose([extreme[end] for extreme in self._extremes], 0)
            for end, choose in enumerate((np.min, np.max))
        )
        units = ["m"] * 3 + ["rad"] * 3 + ["+1 open, -1 closed"]
        rows = [
            (name, f"{least[axis]:.3f}", f"{most[axis]:.3f}", units[axis])
            for axis, name in enumerate(STATE_NAMES)
        ]
        # In the base frame x points forward and y to the left.
        views = (
            ("from above", np.array([[0, -1, 0], [1, 0, 0]]), "← y, left", "↑ x, forward"),
            ("from the side", np.eye(3)[[0, 2]], "x, forward →", "↑ z, up"),
        )
        panels = [
            _panel(
                f"Paths of the hand, {name}",
                charts.paths([path @ view.T for path in paths], box @ view.T, labels),
            )
            for name, view, *labels in views
        ]
        panels.append(
            _panel("Range of the state", _table(("", "minimum", "maximum", ""), rows, numbers=(1, 2)))
        )
        text = "Each line is one episode, its dot the end; dashed: the rig's workspace."
        return _section("States", text, f"<div class=columns>{''.join(panels)}</div>")

    def _stream_table(self) -> str:
        rows = []
        for topic, total in self._streams.values().items():
            rate = total["received"] / total["seconds"] if total["seconds"] else 0.0
            share = 100 * total["lost"] / max(total["lost"] + total["received"], 1)
            cells = (
                f"{rate:.1f}",
                total["received"],
                f"{total['lost']} ({share:.2f} %)",
                total["gaps"],
                f"{total['longest_gap_ms']:.0f}",
                total["lossy"],
            )
            rows.append((topic, *cells))
        if not rows:
            return ""
        names = ("topic", "messages/s", "received", "lost", "gaps", "longest gap, ms", "episodes with losses")
        text = "As the recorder counted them while recording, over all episodes."
        return _section("Streams", text, f"<div class=panel>{_table(names, rows, numbers=range(1, 7))}</div>")

    def _gallery(self, found: Sequence[Finding]) -> str:
        flags: dict[int, list[str]] = {}
        for finding in found:
            for index in finding.episodes:
                flags.setdefault(index, []).append(finding.flag)
        cards = "".join(
            self._card(self._rows[index], frames, flags.get(index, ()))
            for index, frames in self._thumbnails.items()
        )
        count = len(self._thumbnails)
        which = (
            "All episodes"
            if count == len(self._rows)
            else f"Every {self._stride}th episode, {count} of {len(self._rows)}"
        )
        return _section(
            "Previews",
            f"{which}: first, middle and last frame of each camera.",
            f"<div class=episodes>{cards}</div>",
        )

    def _card(self, row: survey.EpisodeRow, thumbnails: Mapping[str, list[str]], flags: Iterable[str]) -> str:
        source = '<img loading=lazy alt="{}" src="data:image/jpeg;base64,{}">'
        rows = (
            "".join(source.format(escape(role), data) for data in frames)
            for role, frames in thumbnails.items()
        )
        strips = "".join(f"<div class=strip>{frames}</div>" for frames in rows)
        about = " · ".join(
            filter(
                None,
                (f"#{row.index}", row.name, f"{row.frames / self._fps:.1f} s", row.outcome, row.operator),
            )
        )
        marks = "".join(f"<span class=flag>{escape(flag)}</span>" for flag in flags)
        texts = f"<div class=task>{escape(row.task)}</div><div class=about>{escape(about)}</div>"
        return f"<div class=episode>{strips}{texts}{marks}</div>"

    def _table(self) -> str:
        robot = self._rig is not None
        names = ("#", "name", "instruction", "outcome", "s") + (
            ("path, m", "rotation, rad", "grips", "at rest") if robot else ()
        )
        rows = []
        for row in self._rows[:MAX_ROWS]:
            motion = (
                (f"{row.moved:.2f}", f"{row.turned:.2f}", row.grips, f"{100 * row.rest:.0f} %")
                if robot
                else ()
            )
            rows.append(
                (row.index, row.name, row.task, row.outcome, f"{row.frames / self._fps:.1f}", *motion)
            )
        text = (
            f"The first {MAX_ROWS} of {len(self._rows)}; the others are in meta/sources.jsonl."
            if len(self._rows) > MAX_ROWS
            else ""
        )
        table = _table(names, rows, numbers=(0, *range(4, 9)))
        return _section(
            "All episodes",
            text,
            f"<div class=panel><details><summary>show the table</summary>{table}</details></div>",
        )


def _left_out(entries: Sequence[Mapping[str, str]]) -> str:
    if not entries:
        return ""
    rows = [(entry["name"], entry["reason"]) for entry in entries[:MAX_ROWS]]
    return _section(
        "Left out by options and marks",
        "",
        f"<div class=panel>{_table(('name', 'why'), rows, numbers=())}</div>",
    )


def _marked(rows: Sequence[tuple[int, str, str, int]]) -> str:
    if not rows:
        return ""
    table = _table(("#", "name", "marks", "steps left out"), rows[:MAX_ROWS], numbers=(0, 3))
    return _section("Trimmed by marks", "", f"<div class=panel>{table}</div>")


def _section(title: str, text: str, content: str) -> str:
    return f"<h2>{title}</h2>{text and f'<p>{text}</p>'}{content}"


def _panel(title: str, content: str) -> str:
    return f"<div class=panel><h3>{title}</h3>{content}</div>"


def _table(names: Sequence[str], rows: Sequence[Sequence], numbers: Iterable[int]) -> str:
    kinds = [' class="number"' if index in tuple(numbers) else "" for index in range(len(names))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(names, kinds))
    lines = ("".join(f"<td{kind}>{escape(str(cell))}</td>" for cell, kind in zip(row, kinds)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
