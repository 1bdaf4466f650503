"""Recorded episodes over HTTPS: views, single frames, the list; and what a viewer may load."""

import json
import re

from tests.teleop.https_client import Client
from tests.teleop.test_episode_index import record


def test_an_episodes_view_and_frames_are_served_and_nothing_else_by_that_name(rig):
    record(rig.folder / "bag")
    status, headers, body = rig.client.get("/api/episodes/bag/view")
    assert status == 200 and json.loads(body)["cameras"] == ["static"]
    status, headers, body = rig.client.get("/api/episodes/bag/static.jpg?t=2.0")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg") and body.startswith(b"\xff\xd8")
    assert rig.client.get("/api/episodes/bag/static.jpg?t=soon")[0] == 400
    for path in ("none/view", "none/static.jpg", "bag/wrist.jpg", "bag/other.jpg", "..%2fbag/view"):
        assert rig.client.get(f"/api/episodes/{path}")[0] == 404, path
    (rig.folder / "bag" / "bag_0.mcap").write_bytes(b"damaged")
    status, _, body = rig.client.get("/api/episodes/bag/static.jpg?t=1")
    assert status == 422 and b"bag" in body


def test_a_list_that_has_not_changed_is_not_sent_again(rig):
    record(rig.folder / "bag")
    listing = json.loads(rig.client.get("/api/episodes")[2])
    again = json.loads(rig.client.get(f"/api/episodes?known={listing['version']}")[2])
    assert "episodes" not in again and again["disk"]["total"] > 0
    record(rig.folder / "bag2")
    assert "episodes" in json.loads(rig.client.get(f"/api/episodes?known={listing['version']}")[2])


def test_a_viewer_sees_all_pages_and_asks_for_predicted_frames(rig):
    viewer = Client(rig.server, re.search(r"token=(\S+)", rig.server.view_url)[1])
    assert viewer.get("/desk")[0] == 200 and viewer.get("/api/episodes")[0] == 200
    assert viewer.get("/stream/static.jpg")[0] == 200 and rig.view.wanted == 0
    assert viewer.get("/stream/predicted_static.jpg")[0] == 404 and rig.view.wanted == 1
