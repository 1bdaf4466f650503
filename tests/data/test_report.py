"""The quality report: what it finds, and that it is one page that stands alone."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from gr1_core import images
from gr1_core.data.convert.report import episode_quality, survey
from gr1_core.data.convert.report.findings import find_problems
from gr1_core.data.convert.report.page import MAX_PREVIEWS, Report
from gr1_core.data.convert.sources.source import Episode
from tests.data.synthetic import SHAPES, demonstration, make_image, tiny_rig

STREAM = {"expected": 100, "received": 100, "gaps": 0, "longest_gap_ms": 50.0}


def page(episodes: list[Episode], tmp_path, rig="tiny", shapes=SHAPES, skipped=(), left_out=()) -> str:
    report = Report("bags", 10, shapes, tiny_rig() if rig else None)
    for episode in episodes:
        report.add_episode(episode, episode_quality.episode_preview(episode))
    report.write_page(tmp_path / "report/index.html", skipped, left_out)
    return (tmp_path / "report/index.html").read_text()


def flags(episodes: list[Episode], skipped=()) -> dict[str, list[int]]:
    """flag -> episodes."""
    rows = [
        survey.episode_row(index, episode, episode_quality.episode_preview(episode), tiny_rig())
        for index, episode in enumerate(episodes)
    ]
    action = (
        np.concatenate([episode.action for episode in episodes]) if episodes[0].action is not None else None
    )
    saturation = survey.action_saturation(action, tiny_rig()) if action is not None else None
    return {
        found.flag or found.title: found.episodes
        for found in find_problems(rows, skipped, survey.near_duplicates(rows), saturation)
    }


def slow(episode: Episode) -> None:
    """Moves the episode into the workspace, within the speed limits."""
    limits = tiny_rig().limits
    episode.action[:, :6] *= 0.1
    middle = np.add(limits.workspace_min, limits.workspace_max) / 2
    episode.state[:, :3] = middle + 0.2 * (episode.state[:, :3] - episode.state[0, :3])


def good(count: int = 3) -> list[Episode]:
    episodes = [demonstration(f"e{index}", index, 20) for index in range(count)]
    for episode in episodes:
        slow(episode)
        episode.info["streams"] = {"/camera/static/image_raw": dict(STREAM)}
    return episodes


def test_good_episodes_have_no_findings(tmp_path):
    assert flags(good()) == {}
    assert "Nothing found: no defects" in page(good(), tmp_path)


def test_positions_that_are_no_metres_are_found():
    """Joint angles or millimetres that a mapping takes for positions."""
    wrong = good()
    for episode in wrong:
        episode.state[:, :3] = 1000 * episode.state[:, :3]
    found = flags(wrong)
    assert found["outside"] == [0, 1, 2] and found["jumps"] == [0, 1, 2]


def test_a_jump_of_the_hand_is_found():
    jumping = good()
    jumping[1].state[10:, 0] += 0.12
    assert flags(jumping) == {"jumps": [1]}


def test_actions_that_do_nothing_although_the_hand_moves_are_found():
    idle = good()
    idle[2].action[:, :6] = 0
    idle[0].info["action_is_state"] = True
    assert flags(idle) == {"action is state": [0, 2]}


def test_a_gripper_that_never_changes_is_found():
    still = good()
    for episode in still:
        episode.action[:, 6] = 1
    assert list(flags(still)) == ["The gripper never changes in any of 3 episodes"]


def test_an_episode_without_motion_is_static():
    still = good()
    still[1].state[:] = still[1].state[0]
    still[1].action[:, 6] = 1
    assert flags(still) == {"static": [1]}


def test_single_frames_are_counted_and_not_called_motionless_short_or_duplicates():
    """One moment labelled for two instructions among whole demonstrations."""
    whole, moment = good(), demonstration("moment", 7, 1)
    slow(moment)
    other = dataclasses.replace(moment, name="again", task="another instruction")
    assert flags([*whole, moment, other]) == {"single frame": [3, 4]}
    assert flags([moment, other]) == {"single frame": [0, 1]}


def test_an_arm_that_only_grips_is_not_static():
    grips = good()
    grips[1].state[:, :6] = grips[1].state[0, :6]
    assert flags(grips) == {}


def test_a_frozen_camera_is_found():
    frozen = good()
    frozen[2].images["wrist"] = [frozen[2].images["wrist"][0]] * 20
    assert flags(frozen) == {"frozen camera": [2]}


def test_an_episode_that_was_recorded_twice_is_found_also_when_it_was_encoded_again():
    twice = good()
    again = {
        role: [images.encode_jpeg(images.decode(data), 90) for data in encoded]
        for role, encoded in twice[0].images.items()
    }
    copy = dataclasses.replace(twice[0], name="again", images=again)
    assert flags([*twice, copy]) == {"duplicate": [0, 3]}


def test_episodes_with_other_images_or_another_path_are_no_duplicates():
    base = good()[0]
    moved = dataclasses.replace(base, state=base.state + np.float32(0.05))
    seen = dataclasses.replace(base, images=good()[1].images)
    assert flags([base, moved, seen]) == {}


def test_losses_cuts_repeats_and_short_episodes_are_named(tmp_path):
    episodes = good(5)
    episodes[1].info["streams"]["/camera/static/image_raw"] = STREAM | {"received": 93, "lost": 7, "gaps": 2}
    episodes[2].info["problems"] = ["cut to its longest part without a gap: 20 of 40 steps"]
    episodes[3].info["repeated_frames"] = {"wrist": 9}
    episodes[4] = demonstration("short", 9, 5)
    slow(episodes[4])
    assert flags(episodes) == {"losses": [1], "cut": [2], "repeats": [3], "short": [4]}
    text = page(episodes, tmp_path)
    assert "7 messages" in text and "20 of 40 steps" in text and "7 (1.75 %)" in text


def test_actions_above_the_speed_limit_are_found_and_at_the_limit_counted(tmp_path):
    fast = good()
    fast[0].action[:, :3] = (1.0, 0, 0)
    assert flags(fast) == {}
    fast[0].action[:, :3] = (1.5, 0, 0)
    assert any("above the rig's speed limit in 33.3 %" in title for title in flags(fast))
    assert survey.action_saturation(
        np.concatenate([episode.action for episode in fast]), tiny_rig()
    ).linear == pytest.approx(1 / 3)


def test_the_page_is_self_contained_and_well_formed(tmp_path):
    text = page(good(), tmp_path, left_out=[{"name": "x", "reason": "its outcome is 'failure'"}])
    assert (
        set(re.findall(r'(?:src|href)="?([^">]{5})', text)) == {"data:"}
        and "<script" not in text
        and "@import" not in text
    )
    _Balanced().check(text)
    assert len(re.findall(r"data:image/jpeg;base64,", text)) == 3 * 2 * 3
    assert text.count('class="histogram"') == 1 + 6 and text.count('class="paths"') == 2


def test_texts_of_users_are_escaped(tmp_path):
    episodes = good()
    episodes[0].task = '<script>alert(1)</script> & "co"'
    text = page(episodes, tmp_path, skipped=[{"name": "<b>", "reason": "a < b"}])
    assert "<script>" not in text and "&lt;script&gt;" in text and "a &lt; b" in text
    _Balanced().check(text)


def test_the_report_of_videos_has_only_sections_that_apply(tmp_path):
    videos = [
        Episode(episode.name, episode.task, {"static": episode.images["static"]}) for episode in good(4)
    ]
    videos[1].images = {"static": [videos[1].images["static"][0]] * 20}
    videos[3] = dataclasses.replace(videos[2], name="copy")
    assert flags(videos) == {"static": [1], "duplicate": [2, 3]}
    text = page(videos, tmp_path, rig=None, shapes={"static": SHAPES["static"]})
    assert "Previews" in text and "Actions" not in text and "Streams" not in text and "Outcome" not in text
    _Balanced().check(text)


def test_of_many_episodes_an_evenly_spread_part_is_shown(tmp_path):
    one = {role: [images.encode_jpeg(make_image(1, shape))] for role, shape in SHAPES.items()}
    many = [
        dataclasses.replace(demonstration("x", 1, 1), name=f"e{index}", images=one)
        for index in range(2 * MAX_PREVIEWS + 10)
    ]
    text = page(many, tmp_path)
    shown = [int(number) for number in re.findall(r"class=about>#(\d+) ", text)]
    assert (
        len(shown) <= MAX_PREVIEWS
        and len(set(np.diff(shown))) == 1
        and shown[0] == 0
        and shown[-1] > 2 * MAX_PREVIEWS
    )


class _Balanced(HTMLParser):
    """Every tag that opens closes, in the right order."""

    def check(self, text: str) -> None:
        self.open = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass
