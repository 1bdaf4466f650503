"""What a person should look at before training on a data set, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gr1_core.data.convert.report import survey
from gr1_core.data.convert.report.survey import Row, Saturation

_MUCH = 0.02
_OFTEN = 0.1


@dataclass(frozen=True)
class Finding:
    """title: what and how many; why: what it means and what to do; lines: the cases; flag: one word for an episode's card."""

    title: str
    why: str
    lines: list[str]
    flag: str = ""
    episodes: list[int] = field(default_factory=list)
    bad: bool = False


def findings(
    rows: Sequence[Row],
    skipped: Sequence[Mapping[str, str]],
    duplicates: Sequence[Sequence[Row]],
    saturation: Saturation | None,
) -> list[Finding]:
    """Everything that was found; empty when there is nothing to look at. saturation: None where no gate of ours limits the arm."""
    found = []
    if skipped:
        lines = [f"{entry['name']}: {entry['reason']}" for entry in skipped]
        found.append(
            Finding(
                f"{_count(skipped, 'recording')} skipped: damaged",
                "They are not in the data set.",
                lines,
                bad=True,
            )
        )

    def about(flag: str, title: str, why: str, which: Sequence[tuple[Row, str]], bad: bool = False) -> None:
        if which:
            lines = [f"#{row.index} {row.name}{said and f': {said}'}" for row, said in which]
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
        "with a camera that stands still",
        "Its pictures do not change although the arm moves.",
        frozen,
        bad=True,
    )
    cut = [(row, "; ".join(row.problems)) for row in rows if row.problems]
    about(
        "cut",
        "with problems in the recording",
        "Only a part without gaps was taken; see the rates and gaps below.",
        cut,
    )
    lossy = [(row, f"{row.lost} messages") for row in rows if row.lost]
    about(
        "losses",
        "lost messages while they were recorded",
        "The computer or the disk was too slow, or the network dropped them.",
        lossy,
    )
    static = [(row, "") for row in rows if row.static]
    about(
        "static",
        "without motion",
        "They teach the policy to stand still: relabel them as failure or discarded.",
        static,
    )
    short = [(row, f"{row.frames} frames") for row in rows if row.frames < survey.WINDOW]
    about(
        "short",
        f"shorter than a training window of {survey.WINDOW} frames",
        "All of their windows are masked in part.",
        short,
    )
    repeated = [(row, f"{row.repeated} frames") for row in rows if row.repeated > _OFTEN * row.frames]
    about(
        "repeats",
        "with repeated frames",
        "A camera is slower than the control rate, so that steps share its frame.",
        repeated,
    )
    if duplicates:
        lines = [", ".join(f"#{row.index} {row.name}" for row in group) for group in duplicates]
        why = "Same first pictures and same way of the hand; of videos same first, middle and last picture. Recorded or copied twice?"
        episodes = [row.index for group in duplicates for row in group]
        found.append(
            Finding(f"{_count(duplicates, 'group')} of near-duplicates", why, lines, "duplicate", episodes)
        )
    if saturation and saturation.above > _MUCH:
        why = "The robot's gate cuts such commands, so that the arm does not do what the data say: teach more slowly, or raise the limits."
        found.append(
            Finding(
                f"Actions above the rig's speed limit in {100 * saturation.above:.1f} % of the steps", why, []
            )
        )
    return found


def _count(items: Sequence, name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"
