"""The arrangement: one blueprint for the live stack, a bag, a dataset and an evaluation.

Left the instruction and the images, predicted beside real; in the middle the arm, the lanes of states and the
log; right the curves. What has no data is left out.
"""

from __future__ import annotations

from collections.abc import Collection

from gr1_core.view.recording import INSTRUCTION, LANES, LOG, TIMELINE

EVERYTHING = frozenset(
    {f"{group}/{role}" for group in ("cameras", "predicted") for role in ("static", "wrist")}
    | {"world", "lanes", "position", "speed", "gripper", "prediction", INSTRUCTION, LOG}
)
"""The groups of a live stack."""
_IMAGES = {
    "cameras/static": "static camera",
    "predicted/static": "static camera, predicted",
    "cameras/wrist": "wrist camera",
    "predicted/wrist": "wrist camera, predicted",
}
_PLOTS = {
    "position": "position of the fingertips, m",
    "speed": "speed, m/s",
    "gripper": "gripper, 0 open .. 1 closed",
    "prediction": "prediction monitor's score",
    "success_rate": "share of successes so far",
    "tasks_in_a_row": "tasks in a row",
}
_RANGES = {"gripper": (-0.05, 1.05), "success_rate": (-0.05, 1.05), "tasks_in_a_row": (-0.25, 5.25)}
_PLOT_S = 30.0
"""s of a live stack that the curves show."""


def blueprint(shown: Collection[str], following: bool = False):
    """The arrangement of these groups of entities. following: the newest time is shown, the curves slide."""
    import rerun.blueprint as rrb

    tables = {"success_rate", "tasks_in_a_row"} & set(shown)  # an evaluation's, below the instruction
    columns = [
        _column(rrb, [*_text(rrb, shown), *_images(rrb, shown)], [2 if tables else 1, 5]),
        _column(rrb, [*_world(rrb, shown), *_lanes(rrb, shown), *_log(rrb, shown)], [4, 2.6, 1.6]),
        _column(rrb, _plots(rrb, shown, following), None),
    ]
    shares = [share for column, share in zip(columns, (5, 4, 3)) if column is not None]
    return rrb.Blueprint(
        rrb.Horizontal(*(one for one in columns if one is not None), column_shares=shares),
        rrb.TimePanel(
            state="collapsed", timeline=TIMELINE, play_state="following" if following else "playing"
        ),
        rrb.BlueprintPanel(state="hidden"),
        rrb.SelectionPanel(state="hidden"),
        auto_views=False,
    )


def _column(rrb, views: list, shares: list | None):
    if not views:
        return None
    return rrb.Vertical(*views, row_shares=shares[: len(views)] if shares else None)


def _text(rrb, shown) -> list:
    return [rrb.TextDocumentView(origin=INSTRUCTION, name="instruction")] if INSTRUCTION in shown else []


def _images(rrb, shown) -> list:
    sheets = sorted(group for group in shown if group.startswith("sheets/"))
    views = [rrb.Spatial2DView(origin=group, name=name) for group, name in _IMAGES.items() if group in shown]
    found = []
    if views:
        predicted = any(group.startswith("predicted/") for group in shown)
        found.append(rrb.Grid(*views, grid_columns=2 if predicted else 1))
    if sheets:
        tabs = [rrb.Spatial2DView(origin=group, name=group.removeprefix("sheets/")) for group in sheets]
        found.append(rrb.Tabs(*tabs))
    return found


def _world(rrb, shown) -> list:
    if "world" not in shown:
        return []
    eye = rrb.EyeControls3D(position=(1.25, -0.85, 0.75), look_target=(0.3, -0.02, 0.22), eye_up=(0, 0, 1))
    return [
        rrb.Spatial3DView(
            origin="world", name="arm", eye_controls=eye, line_grid=rrb.LineGrid3D(visible=True, spacing=0.1)
        )
    ]


def _lanes(rrb, shown) -> list:
    contents = [f"lanes/{name}" for name in LANES]
    return (
        [rrb.StateTimelineView(origin="lanes", contents=contents, name="states")] if "lanes" in shown else []
    )


def _log(rrb, shown) -> list:
    if LOG not in shown:
        return []
    columns = rrb.TextLogColumns(timeline_columns=[TIMELINE], text_log_columns=["loglevel", "body"])
    return [rrb.TextLogView(origin=LOG, name="log", columns=columns)]


def _plots(rrb, shown, following: bool) -> list:
    window = {}
    if following:
        window["time_ranges"] = rrb.VisibleTimeRange(
            TIMELINE,
            start=rrb.TimeRangeBoundary.cursor_relative(seconds=-_PLOT_S),
            end=rrb.TimeRangeBoundary.cursor_relative(seconds=0.0),
        )
    ranges = {group: {"axis_y": rrb.ScalarAxis(range=ends)} for group, ends in _RANGES.items()}
    return [
        rrb.TimeSeriesView(origin=group, name=name, **window, **ranges.get(group, {}))
        for group, name in _PLOTS.items()
        if group in shown
    ]
