"""The layout for Foxglove: panels and properties that Foxglove has, topics and fields that the stack has.

Foxglove ignores a property that it does not know, so a misspelt one is silently without effect. The names are
those of Foxglove's panels as exported layouts have them.
"""

import re

import pytest
from rosbags.typesys import Stores, get_typestore

from gr1_core.view.messages import TOPICS
from tests.view import foxglove

PANELS = {
    "Image": {"imageMode"},
    "3D": {"followTf", "followMode", "cameraState", "scene", "layers", "topics"},
    "StateTransitions": {"paths", "isSynced"},
    "Plot": {
        "paths", "showLegend", "legendDisplay", "isSynced", "xAxisVal", "followingViewWidth", "minYValue",
        "maxYValue",
    },
    "DiagnosticSummary": {"topicToRender", "minLevel", "pinnedIds", "hardwareIdFilter", "sortByLevel"},
    "RawMessages": {"topicPath"},
}  # fmt: skip
LAYERS = {
    "foxglove.Grid": {"frameId", "size", "divisions", "lineWidth", "color", "position", "rotation"},
    "foxglove.Urdf": {
        "sourceType", "topic", "url", "filePath", "parameter", "framePrefix", "displayMode", "fallbackColor",
    },
}  # fmt: skip
FIELDS = get_typestore(Stores.ROS2_JAZZY).fielddefs
EVERY_LAYER = {"layerId", "instanceId", "label", "visible", "order"}
_STEP = re.compile(r"\.(\w+)(\[[^\]]*\])?(?:\{(\w+)==[^}]*\})?")


def test_every_property_is_one_that_foxglove_knows():
    for name, panel in foxglove.layout()["configById"].items():
        unknown = set(panel) - PANELS[name.split("!")[0]] - {"foxglovePanelTitle"}
        assert not unknown, (name, unknown)
        for layer in panel.get("layers", {}).values():
            assert set(layer) <= LAYERS[layer["layerId"]] | EVERY_LAYER, layer["label"]


def test_every_panel_is_shown_once():
    def shown(part):
        if isinstance(part, str):
            return [part]
        assert part["direction"] in ("row", "column") and 0 < part["splitPercentage"] < 100
        return shown(part["first"]) + shown(part["second"])

    layout = foxglove.layout()
    assert sorted(shown(layout["layout"])) == sorted(layout["configById"])


def test_every_topic_is_one_that_gr1_view_shows_too_or_has_its_type_here():
    known = {f"/{name}": kind for name, kind in TOPICS.items()} | foxglove.TYPES
    assert foxglove.topics() <= set(known)
    assert {"/robot_description", "/joint_states", "/diagnostics", "/instruction"} <= foxglove.topics()


@pytest.mark.parametrize("path", foxglove.paths())
def test_every_path_leads_to_a_field_of_its_topics_type(path):
    topic = re.match(r"/[\w/]+", path)[0]
    rest, kind = path[len(topic) :], TOPICS[topic.lstrip("/")]
    assert _STEP.sub("", rest) == "", f"{path}: what is {_STEP.sub('', rest)!r}?"
    for name, index, key in _STEP.findall(rest):
        fields = dict(FIELDS[kind][1])
        assert name in fields, f"{kind} has no field {name}"
        node, detail = fields[name]
        listed = isinstance(detail[0], tuple)
        assert bool(index) == listed, f"{path}: {name}"
        kind = detail[0][1] if listed else detail
        if key:
            assert key in dict(FIELDS[kind][1])
