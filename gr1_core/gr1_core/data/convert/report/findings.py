"""Problems of a dataset that a person should check before training, the most serious first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gr1_core.data.convert.report import survey
from gr1_core.data.convert.report.survey import ActionSaturation, EpisodeRow
from gr1_core.plural import plural

_MAX_SATURATED = 0.02
_MAX_REPEATED = 0.1
_MAX_OUTSIDE = 0.05


@dataclass(frozen=True)
class Finding:
    """title: what and how many.

    why: meaning and remedy. lines: the cases. flag: one word for an episode's card.
    """

    title: str
    why: str
    lines: list[str]
    flag: str = ""
    episodes: list[int] = field(default_factory=list)
    bad: bool = False


def find_problems(
    rows: Sequence[EpisodeRow],
    skipped: Sequence[Mapping[str, str]],
    duplicates: Sequence[Sequence[EpisodeRow]],
    saturation: ActionSaturation | None,
) -> list[Finding]:
    """All problems; empty if there are none.

    saturation: None for videos.
    """
    found = []
    if skipped:
        lines = [f"{entry['name']}: {entry['reason']}" for entry in skipped]
        found.append(
            Finding(
                f"{_count(skipped, 'recording')} skipped: damaged",
                "They are not in the dataset.",
                lines,
                bad=True,
            )
        )

    def about(
        flag: str, title: str, why: str, which: Sequence[tuple[EpisodeRow, str]], bad: bool = False
    ) -> None:
        if which:
            lines = [f"#{row.index} {row.name}{detail and f': {detail}'}" for row, detail in which]
            found.append(
                Finding(
                    f"{_count(which, 'episode')} {title}",
                    why,
                    lines,
                    flag,
                    [row.index for row, _ in which],
                    bad,
                )
            )

    frozen = [(row, ", ".join(row.frozen)) for row in rows if row.frozen]
    about(
        "frozen camera",
        "with a frozen camera",
        "Its images do not change although the arm moves.",
        frozen,
        bad=True,
    )
    cut = [(row, "; ".join(row.problems)) for row in rows if row.problems]
    about(
        "cut",
        "with problems in the recording",
        "Only a part without gaps was used; see the rates and gaps below.",
        cut,
    )
    lossy = [(row, plural(row.lost, "message")) for row in rows if row.lost]
    about(
        "losses",
        "with messages lost during recording",
        "The computer or the disk was too slow, or the network dropped messages.",
        lossy,
    )
    single = {row.index for row in rows if row.frames == 1}  # moments on purpose: nothing can move in them
    static = [(row, "") for row in rows if row.static and row.index not in single]
    about(
        "static",
        "without motion",
        "They teach the policy to stand still: relabel them as failure or discarded.",
        static,
    )
    short = [(row, plural(row.frames, "frame")) for row in rows if 1 < row.frames < survey.WINDOW]
    about(
        "short",
        f"shorter than a training window of {survey.WINDOW} frames",
        "All of their windows are masked in part.",
        short,
    )
    if single:
        found.append(
            Finding(
                f"{plural(len(single), 'episode')} of a single frame",
                "They teach an action in a scene; future frames and history are learned from the others.",
                [],
                "single frame",
                sorted(single),
            )
        )
    repeated = [
        (row, plural(row.repeated, "frame")) for row in rows if row.repeated > _MAX_REPEATED * row.frames
    ]
    about(
        "repeats",
        "with repeated frames",
        "A camera is slower than the control rate: several steps share a frame.",
        repeated,
    )
    # One moment labelled for several instructions is several single frames.
    duplicates = [group for group in duplicates if not all(row.index in single for row in group)]
    if duplicates:
        lines = [", ".join(f"#{row.index} {row.name}" for row in group) for group in duplicates]
        why = (
            "Same first frames and same path of the hand; for videos, same first, middle and last frame. "
            "Check whether they were recorded or copied twice."
        )
        episodes = [row.index for group in duplicates for row in group]
        found.append(
            Finding(f"{_count(duplicates, 'group')} of near-duplicates", why, lines, "duplicate", episodes)
        )
    found += _about_motion(rows, about)
    if saturation and saturation.above > _MAX_SATURATED:
        why = (
            "The robot's gate clips such commands, so the arm does not follow the recorded actions: "
            "demonstrate more slowly, or raise the limits."
        )
        found.append(
            Finding(
                f"Actions above the rig's speed limit in {100 * saturation.above:.1f} % of the steps", why, []
            )
        )
    return found


def _about_motion(rows: Sequence[EpisodeRow], about) -> list[Finding]:
    """What is implausible about positions, actions and gripper; `about` adds findings of single episodes."""
    moving = [row for row in rows if row.path is not None]
    found = []
    outside = [(row, f"{100 * row.outside:.0f} % of its positions") for row in moving if row.outside > 0]
    if outside:
        share = sum(row.outside * row.frames for row in moving) / sum(row.frames for row in moving)
        found.append(
            Finding(
                f"{100 * share:.1f} % of the positions lie outside the rig's workspace",
                "Other units (joint angles or millimetres taken for metres?), another base frame, or another "
                "rig: compare the mapping with the rig's workspace_min and workspace_max.",
                [f"#{row.index} {row.name}: {detail}" for row, detail in outside],
                "outside",
                [row.index for row, _ in outside],
                bad=share > _MAX_OUTSIDE,
            )
        )
    about(
        "jumps",
        "whose hand jumps",
        "The position changes within one step by more than an arm can move: lost frames, two recordings in "
        "one episode, or other units.",
        [(row, plural(row.jumps, "step")) for row in moving if row.jumps],
        bad=True,
    )
    about(
        "action is state",
        "whose action is the state itself, or zero, although the hand moves",
        "A policy that learns them stands still: map the commanded pose, or use action.kind next_state.",
        [(row, "") for row in moving if row.idle],
        bad=True,
    )
    if any(row.frames > 1 for row in moving) and not any(row.grips for row in moving):
        found.append(
            Finding(
                f"The gripper never changes in any of {_count(moving, 'episode')}",
                "If the tasks need it, the mapping takes the wrong component or threshold.",
                [],
            )
        )
    return found


def _count(items: Sequence, name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"
