"""The 34 tasks as goals for the hand, from the simulator's true state now and at the start of the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gr1_core.calvin.environment import BLOCKS, State
from gr1_core.calvin.expert import blocks, fixtures
from gr1_core.calvin.expert.blocks import CABINET_PITCH, DRAWER_PITCH
from gr1_core.calvin.expert.layout import BLOCK, EDGE, TABLE, Layout
from gr1_core.calvin.expert.motion import DOWN, REST, Goal, approach_axis, unwound, wrapped

_CARRY, _RISE = 0.015, 0.035
"""m above its support at which a block begins to be carried a short way, and by how much it rises on the way.

Where the block began is not to be seen on the way. The height says how much of the way is behind it, so that
a policy without memory knows when to let go.
"""
_PUSH, _ROTATE = 0.125, np.radians(72)  # m and rad, a little more than the oracle asks for
_WITH_ANY_BLOCK = ("place_in_slider", "place_in_drawer", "stack_block", "unstack_block", "push_into_drawer")


@dataclass
class Situation:
    """state: now. start: at the start of the task.

    yaw, place: the chosen grasp's and goal's, kept once chosen.
    """

    state: State
    start: State
    layout: Layout
    yaw: float | None = None
    place: np.ndarray | None = None

    def grasp(self, name: str, turn: float = 0.0, lean_for: np.ndarray | None = None) -> Goal:
        """Grasps a block, at a yaw that does not flip between equal choices.

        turn: rad that the hand will turn with it. lean_for: where it will be put, if the hand has to lean
        there.
        """
        self.yaw = blocks.grasp_yaw(self.state, name, turn, self.yaw)
        return blocks.grasp(self.state, name, self.yaw, lean_for)


Skill = Callable[[Situation], Goal]


def skill_of(task: str) -> Skill:
    """Raises KeyError for a task that is not one of CALVIN's 34."""
    if task in _FIXED:
        return _FIXED[task]
    verb, name, *rest = task.split("_")
    if verb == "lift":
        return lambda s: _lift(s, name)
    # Right is +x for a push, and clockwise for a turn.
    way = 1.0 if (rest[-1] == "right") == (verb == "push") else -1.0
    return {"push": lambda s: _push(s, name, way), "rotate": lambda s: _rotate(s, name, way)}[verb]


def goal_of(situation: Situation, task: str) -> Goal:
    """What the hand does now.

    First of all it puts down what the task does not carry, rises over blocks and leaves the cabinet.
    """
    state, carried = situation.state, _carried(task)
    holding = blocks.held(state)
    if holding and holding not in carried:
        return _put_down(state, holding)
    goal = skill_of(task)(situation)
    closes = state.gripper > 0 and goal.gripper < 0
    if closes and not carried and task not in ("open_drawer", "close_drawer") and blocks.in_the_way(state):
        goal = replace(goal, gripper=1.0)
    return _leave_cabinet(state, _rise_over_blocks(state, goal))


def _carried(task: str) -> tuple[str, ...]:
    """The blocks that may be in the hand."""
    verb, name, *_ = task.split("_")
    if verb in ("lift", "push", "rotate") and name in BLOCKS:
        return (name,)
    return BLOCKS if task in _WITH_ANY_BLOCK else ()


def _put_down(state: State, name: str) -> Goal:
    """Lowers a block that hangs in the air to what is below it, and lets go."""
    pitch, yaw = float(state.euler[1]), float(state.euler[2])
    block = state.block(name)
    support = {"table": TABLE, "cabinet": TABLE + 0.004, "drawer": 0.342}[blocks.place_of(state.tcp)]
    for other in BLOCKS:
        below = state.block(other)[:3]
        if other != name and np.linalg.norm((below - block[:3])[:2]) < 0.045 and below[2] < block[2]:
            support = max(support, below[2] + BLOCK / 2)
    height = block[2] - BLOCK / 2 - support
    if height > 0.03:
        return Goal(state.tcp - [0, 0, height - 0.01], yaw, pitch, -1.0, approach=False)
    return Goal(state.tcp, yaw, pitch, 1.0, approach=False)


def _rise_over_blocks(state: State, goal: Goal) -> Goal:
    """Straight up from beside or above a block, before the hand moves away over it."""
    away = goal.position[:2] - state.tcp[:2]
    if not goal.approach or np.linalg.norm(away) < 0.06 or blocks.place_of(state.tcp) != "table":
        return goal
    for name in BLOCKS:
        block = state.block(name)[:3]
        near = np.linalg.norm((block - state.tcp)[:2]) < 0.07 and name != blocks.held(state)
        if near and block[2] - 0.02 < state.tcp[2] < block[2] + BLOCK / 2 + 0.045:
            up = state.tcp + [0, 0, 0.06]
            return Goal(up, float(state.euler[2]), float(state.euler[1]), goal.gripper, approach=False)
    return goal


def _leave_cabinet(state: State, goal: Goal) -> Goal:
    """Back out along the hand's axis where the goal is not in the cabinet as well."""
    inside = state.tcp[1] > 0.02 and state.tcp[2] < 0.66
    near = goal.position[1] > 0.0 and abs(goal.position[0] - state.tcp[0]) < 0.1
    if not inside or near or not goal.approach:
        return goal
    away = state.tcp + [0, -0.08, 0.06]
    return Goal(away, goal.yaw, float(state.euler[1]), goal.gripper, approach=False)


def _lift(s: Situation, name: str) -> Goal:
    goal = s.grasp(name)
    if blocks.held(s.state) == name:
        out = approach_axis(goal.pitch, goal.yaw) if goal.pitch == CABINET_PITCH else DOWN
        up = -0.1 * out
        return Goal(s.state.tcp + up, goal.yaw, goal.pitch, -1.0, approach=False, speed=0.01)
    return _make_room(s, goal, s.state.block(name))


def _make_room(s: Situation, goal: Goal, block: np.ndarray) -> Goal:
    """Before a block in the cabinet is grasped, the sliding door must be well beside it."""
    if goal.pitch != CABINET_PITCH:
        return goal
    slider, room = s.state.fixture("slider"), 0.09
    left, right = (end - slider for end in s.layout.door)
    if block[0] > left - room and block[0] < right + room:
        to_left = block[0] > sum(s.layout.door) / 2 - s.layout.travel / 2
        if slider < s.layout.travel - 0.01 if to_left else slider > 0.01:
            return fixtures.push_slider(s.state, s.layout, to_left)
    return goal


def _carry_to(
    s: Situation,
    name: str,
    place: np.ndarray,
    yaw: float,
    pitch: float,
    over: float,
    clearance: float,
    exact: float = 0.012,
) -> Goal:
    """Carries the held block to a place (of its centre) and lets go `over` metres above it."""
    state = s.state
    block = state.block(name)[:3]
    goal = Goal(
        place + [0, 0, over] + (state.tcp - block), yaw, pitch, -1.0, clearance=clearance, tolerance=0.01
    )
    error = goal.position - state.tcp
    if np.linalg.norm(error) < exact and abs(wrapped(yaw - state.euler[2])) < 0.1:
        return replace(goal, gripper=1.0, approach=False)
    return goal


def _push(s: Situation, name: str, way: float) -> Goal:
    """Carries the block a few centimetres above the table, and lets it fall."""
    block, start = s.state.block(name)[:3], s.start.block(name)[:3]
    if s.place is None:
        s.place = _free_place(s, name, start, way)
    goal = s.grasp(name, lean_for=np.array([*s.place, start[2]]))
    if blocks.held(s.state) != name:
        return goal
    pitch = blocks.level_pitch(s.state, name)
    to_go = s.place - block[:2]
    height = block[2] - start[2]
    if np.abs(to_go).max() < 0.012 and height > 0.01:
        return Goal(s.state.tcp, goal.yaw, pitch, 1.0, approach=False)
    gate = np.clip((height - 0.006) / 0.008, 0.0, 1.0)
    up = _height(np.linalg.norm(to_go) / np.linalg.norm(s.place - start[:2])) - height
    position = s.state.tcp + [gate * to_go[0], gate * to_go[1], up]
    return Goal(position, s.yaw, pitch, -1.0, approach=False, speed=0.012)


def _height(to_go: float) -> float:
    """Metres above its support that a block is carried at. to_go: share of the way that is left."""
    return _CARRY + _RISE * float(np.clip(1.0 - to_go, 0.0, 1.0))


def _free_place(s: Situation, name: str, start: np.ndarray, way: float) -> np.ndarray:
    """xy on the table, at least _PUSH to one side of the start, beside other blocks, the button and the
    handle of the door.
    """
    others = [s.state.block(other)[:2] for other in BLOCKS if other != name]
    handle = s.layout.handle_of_slider(s.state)[0]

    def cost(x: float, y: float) -> float:
        near = sum(max(0.0, 0.09 - np.hypot(x - other[0], y - other[1])) for other in others)
        near += max(0.0, 0.085 - np.hypot(x - s.layout.button[0], y - s.layout.button[1]))
        near += 0.5 * min(max(0.0, 0.15 - abs(x - handle)), max(0.0, y + 0.1))
        near += max(0.0, abs(x) - 0.38)
        return 10 * near + abs(y - start[1]) + abs(x - start[0])

    xs = start[0] + way * np.linspace(_PUSH, _PUSH + 0.3, 16)
    return np.array(
        min(((x, y) for x in xs for y in np.linspace(-0.14, -0.03, 12)), key=lambda place: cost(*place))
    )


def _rotate(s: Situation, name: str, way: float) -> Goal:
    turned = wrapped(s.state.block(name)[5] - s.start.block(name)[5])
    left = way * _ROTATE - turned
    if blocks.held(s.state) != name:
        return s.grasp(name, left)
    if abs(left) < np.radians(6):
        return Goal(s.state.tcp, float(s.state.euler[2]), float(s.state.euler[1]), 1.0, approach=False)
    height = s.state.block(name)[2] - s.start.block(name)[2]
    gate = np.clip((height - 0.006) / 0.008, 0.0, 1.0)
    lifted = s.state.tcp + [0, 0, _height(abs(left) / _ROTATE) - height]
    yaw, pitch = float(s.state.euler[2]) + gate * left, blocks.level_pitch(s.state, name)
    return Goal(lifted, yaw, pitch, -1.0, approach=False, speed=0.008)


def _place_in_slider(s: Situation) -> Goal:
    name = blocks.held(s.state)
    if not name:
        return _after_placing(s, CABINET_PITCH, lambda block: blocks.place_of(block) == "cabinet")
    low, high = s.layout.opening(s.state)
    others = [
        s.state.block(other)[0]
        for other in BLOCKS
        if other != name and blocks.place_of(s.state.block(other)) == "cabinet"
    ]
    middle = (low + high) / 2
    xs = np.linspace(low + 0.06, high - 0.06, 15) if high - low > 0.13 else [middle]
    x = min(xs, key=lambda x: abs(x - middle) + 10 * sum(max(0.0, 0.1 - abs(x - other)) for other in others))
    place = np.array([x, 0.085, TABLE + 0.004 + BLOCK / 2])
    return _carry_to(s, name, place, REST, CABINET_PITCH, 0.012, clearance=0.2)


def _place_in_drawer(s: Situation) -> Goal:
    name = blocks.held(s.state)
    if not name:
        return _after_placing(s, DRAWER_PITCH, lambda block: blocks.place_of(block) == "drawer")
    centre = s.layout.drawer_centre(s.state)
    others = [
        s.state.block(other)[:2]
        for other in BLOCKS
        if other != name and blocks.place_of(s.state.block(other)) == "drawer"
    ]
    xs = np.linspace(s.layout.drawer[0] + 0.08, s.layout.drawer[1] - 0.08, 12)
    x = min(
        xs,
        key=lambda x: (
            abs(x - centre[0])
            + 10 * sum(max(0.0, 0.1 - np.hypot(x - o[0], centre[1] - o[1])) for o in others)
        ),
    )
    place = np.array([x, centre[1], centre[2] + BLOCK / 2])
    pitch = min(DRAWER_PITCH, blocks.level_pitch(s.state, name))
    return _carry_to(s, name, place, REST, pitch, 0.02, clearance=0.57 - place[2])


def _after_placing(s: Situation, pitch: float, is_there: Callable[[np.ndarray], bool]) -> Goal:
    """Nothing is held: backs off from a block that is where it shall be, and grasps one again that is not."""
    name = blocks.nearest_block(s.start)
    if is_there(s.state.block(name)) or blocks.near_open_fingers(s.state, name):
        return blocks.release(s.state, pitch, float(s.state.euler[2]))
    return s.grasp(name)


def _stack(s: Situation) -> Goal:
    name = blocks.held(s.state)
    moved = name or blocks.nearest_block(s.start)
    others = [other for other in BLOCKS if other != moved]
    on_table = [other for other in others if blocks.place_of(s.state.block(other)) == "table"]
    below = min(
        on_table or others,
        key=lambda other: np.linalg.norm((s.start.block(other) - s.start.block(moved))[:2]),
    )
    place = s.state.block(below)[:3] + [0, 0, BLOCK]
    if not name:
        return _after_placing(s, 0.0, lambda block: np.linalg.norm(block[:3] - place) < 0.02)
    # Across or along the other block, whichever is nearer.
    yaw = min(
        (s.state.block(below)[5] + k * np.pi / 2 for k in range(-4, 5)),
        key=lambda yaw: abs(yaw - unwound(s.state.euler[2])),
    )
    s.yaw = s.yaw if s.yaw is not None else yaw
    return _carry_to(
        s, name, place, s.yaw, blocks.level_pitch(s.state, name), 0.003, clearance=0.06, exact=0.005
    )


def _unstack(s: Situation) -> Goal:
    on_table = [name for name in BLOCKS if blocks.place_of(s.start.block(name)) == "table"]
    top = max(on_table or BLOCKS, key=lambda name: s.start.block(name)[2])
    goal = s.grasp(top)
    if blocks.held(s.state) == top:
        return Goal(s.state.tcp + [0, 0, 0.05], goal.yaw, 0.0, -1.0, approach=False, speed=0.008)
    return goal


def _push_into_drawer(s: Situation) -> Goal:
    on_table = [name for name in BLOCKS if blocks.place_of(s.start.block(name)) == "table"]
    name = min(
        on_table or BLOCKS, key=lambda name: np.linalg.norm((s.start.block(name) - s.start.robot[:6])[:2])
    )
    if blocks.held(s.state) == name:
        centre = s.layout.drawer_centre(s.state)
        place = np.array(
            [
                np.clip(s.state.block(name)[0], s.layout.drawer[0] + 0.08, s.layout.drawer[1] - 0.08),
                centre[1],
                TABLE,
            ]
        )
        goal = _carry_to(s, name, place + [0, 0, BLOCK / 2], float(s.yaw or REST), 0.0, 0.0, clearance=0.03)
        return goal
    if s.state.block(name)[1] < EDGE - 0.01 and s.state.block(name)[2] < TABLE:
        return blocks.release(s.state, 0.0, float(s.state.euler[2]))
    return s.grasp(name)


def _led(s: Situation) -> Goal:
    # The button acts when it goes down: one that is down already has to come up first.
    if (
        s.start.fixture("button") > 0.01
        and s.state.fixture("button") > 0.006
        and s.state.fixture("led") == s.start.fixture("led")
    ):
        return fixtures.release_button(s.state, s.layout)
    return fixtures.press_button(s.state, s.layout)


_FIXED: dict[str, Skill] = {
    "move_slider_left": lambda s: fixtures.push_slider(s.state, s.layout, True),
    "move_slider_right": lambda s: fixtures.push_slider(s.state, s.layout, False),
    "open_drawer": lambda s: fixtures.open_drawer(s.state, s.layout),
    "close_drawer": lambda s: fixtures.close_drawer(s.state, s.layout),
    "turn_on_lightbulb": lambda s: fixtures.push_switch(s.state, s.layout, True),
    "turn_off_lightbulb": lambda s: fixtures.push_switch(s.state, s.layout, False),
    "turn_on_led": _led,
    "turn_off_led": _led,
    "place_in_slider": _place_in_slider,
    "place_in_drawer": _place_in_drawer,
    "stack_block": _stack,
    "unstack_block": _unstack,
    "push_into_drawer": _push_into_drawer,
}
_MOVES = [
    f"{verb}_{name}_block_{way}"
    for verb in ("rotate", "push")
    for name in BLOCKS
    for way in ("right", "left")
]
_LIFTS = [f"lift_{name}_block_{place}" for name in BLOCKS for place in ("table", "slider", "drawer")]
TASKS = (*_MOVES, *_LIFTS, *_FIXED)
"""All 34 names."""
