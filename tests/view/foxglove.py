"""What the Foxglove layout names: panels, topics, message paths."""

import json
import re

from gr1_bringup import stack

TYPES = {
    "/policy/panel": "sensor_msgs/msg/Image",
    "/arm/markers": "visualization_msgs/msg/MarkerArray",
}
"""Topics of the layout that `gr1 view` does not show."""
_TOPIC = re.compile(r"/[\w/]+")


def layout() -> dict:
    return json.loads((stack.share() / "foxglove" / "gr1.json").read_text())


def paths() -> list[str]:
    """Message paths, such as "/arm/pose.pose.position.x"."""
    panels = layout()["configById"].values()
    return [path["value"] for panel in panels for path in panel.get("paths", ())]


def topics() -> set[str]:
    found = {_TOPIC.match(path)[0] for path in paths()}
    for panel in layout()["configById"].values():
        found |= set(panel.get("topics", ()))
        found |= {layer["topic"] for layer in panel.get("layers", {}).values() if "topic" in layer}
        found |= {value for key, value in panel.get("imageMode", {}).items() if key.endswith("Topic")}
        found |= {panel[key] for key in ("topicToRender", "topicPath") if key in panel}
    return found
