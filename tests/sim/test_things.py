"""What lies on the table can be exchanged: drawn from a seed, resting where it says, within the hand's reach and grasp."""

import colorsys
from itertools import product

import mujoco
import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import TASKS, Expert, Pose, Renderer, Twin
from gr1_core.sim.objects.catalogue import (
    DRAWN,
    FORMS,
    NAMED,
    SLOTS,
    STANDARD,
    UNKNOWN,
    WIDEST,
    Props,
    Thing,
    categories,
    instances,
    training,
)
from gr1_core.sim.rollout import succeeds
from gr1_core.sim.scene import BAR_OFFSET, DRAWER_TRAVEL, PLATE_RADIUS, build
from gr1_core.sim.state import FREE, View
from gr1_core.sim.tasks import CABINET_MIN, FIELD_MAX, FIELD_MIN, lay

RIG = Rig.load("kinova_gen2")
NEW = tuple(form for form in NAMED if form not in SLOTS)
STRANGE = next(
    props for props in map(training, range(100)) if all(props.noun(slot) == UNKNOWN for slot in SLOTS)
)
FRUIT_BOWL = (Props(tuple(map(Thing, NEW[:3]))), Props(tuple(map(Thing, NEW[3:]))), Props(STRANGE.things))


@pytest.fixture(scope="module")
def bowls():
    """The six new categories on two tables, and one of things without a name."""
    return [Twin(props) for props in FRUIT_BOWL]


def test_the_rigs_own_table_is_what_it_was():
    """Recordings and checkpoints rely on it: the collision bodies' sizes, as published with the first version."""
    model = build()
    sizes = {
        slot: [
            model.geom_size[geom].round(4).tolist()
            for geom in range(model.ngeom)
            if touched(model, geom, slot)
        ]
        for slot in SLOTS
    }
    assert sizes == {
        "eggplant": [[0.0265, 0.0135, 0.0], [0.0205, 0.017, 0.0]],
        "broccoli": [[0.02, 0.014, 0.0], [0.017, 0.022, 0.0], [0.035, 0.035, 0.026]],
        "bell_pepper": [[0.022, 0.02, 0.0], [0.033, 0.033, 0.034]],
    }
    assert [STANDARD[slot].rest for slot in SLOTS] == [0.0265, 0.040, 0.034] and STANDARD.distractors == ()
    assert Twin().props is STANDARD and Props() == STANDARD


def touched(model, geom, body):
    return model.geom_bodyid[geom] == model.body(body).id and model.geom_contype[geom] != 0


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_seed_draws_the_same_table_everywhere_and_another_one_differs(draw):
    drawn = [draw(seed) for seed in range(200)]
    assert drawn == [draw(seed) for seed in range(200)]
    assert len(set(drawn)) == 200, "a table is a key: hashable, and none comes twice"
    for props in drawn:
        for slot in SLOTS:
            assert 0.02 < props[slot].width <= WIDEST and props[slot].radius < 0.09


def test_training_instances_and_categories_do_not_overlap():
    def like(one, other):
        return one[0] == other[0] and abs(one[1] - other[1]) < 0.05 * other[1]

    for slot in SLOTS:
        seen, others = ([draw(seed)[slot] for seed in range(500)] for draw in (training, instances))
        seen = [thing for thing in seen if thing.form == slot]
        sizes, colours = (
            np.array([get(thing) for thing in seen])
            for get in (lambda it: (it.girth, it.length), lambda it: it.colour)
        )
        for other in others:
            resized = np.abs(sizes - (other.girth, other.length)).max(axis=1) > 0.05
            recoloured = np.linalg.norm(colours - other.colour, axis=1) > 0.08
            reshaped = np.array(
                [bool(other.shape) and not like(other.shape[0], thing.shape[0]) for thing in seen]
            )
            assert (resized | recoloured | reshaped | bool(other.stripes)).all(), (
                f"{other} could be one of training's"
            )
    trained = {training(seed).noun(slot) for slot in SLOTS for seed in range(100)}
    assert (
        trained - {UNKNOWN}
        == {instances(1).noun(slot) for slot in SLOTS}
        == {STANDARD.noun(slot) for slot in SLOTS}
    )
    shown = [{categories(seed).noun(slot) for slot in SLOTS} for seed in range(60)]
    assert all(len(nouns) == 3 for nouns in shown) and set.union(*shown) == {FORMS[form].noun for form in NEW}


def test_some_things_of_training_have_any_colour_so_that_shape_counts():
    tables = [training(seed) for seed in range(400)]
    for slot in SLOTS:
        values = np.array(
            [colorsys.rgb_to_hsv(*props[slot].colour)[0] for props in tables if props[slot].form == slot]
        )
        usual = colorsys.rgb_to_hsv(*FORMS[slot].colour)[0]
        off = np.abs((values - usual + 0.5) % 1.0 - 0.5) > 0.1
        assert 0.25 < off.mean() < 0.50 and np.ptp(values[off]) > 0.6


def test_some_tables_of_training_hold_things_without_a_name_and_no_test_does():
    strange = np.array([sum(training(seed).noun(slot) == UNKNOWN for slot in SLOTS) for seed in range(400)])
    assert 0.3 < (strange > 0).mean() < 0.5 and all((strange == number).sum() > 15 for number in (1, 2, 3))
    assert not any(
        draw(seed).noun(slot) == UNKNOWN
        for draw in (instances, categories)
        for seed in range(100)
        for slot in SLOTS
    )


def test_a_thing_that_does_not_exist_or_does_not_fit_the_hand_is_refused():
    with pytest.raises(ValueError, match="no thing 'cucumber': there are eggplant, broccoli"):
        Thing("cucumber")
    with pytest.raises(
        ValueError, match="peach with girth 1.5 is 0.099 m wide: the hand takes at most 0.075 m"
    ):
        Thing("peach", girth=1.5)


def lowest_points(twin):
    """Slot -> z of the lowest vertex that is drawn, metres above the table."""
    model = build(twin.props)
    data = mujoco.MjData(model)
    data.qpos[:] = View(twin.state()).qpos
    mujoco.mj_kinematics(model, data)
    low = {}
    for geom in range(model.ngeom):
        name, mesh = model.body(model.geom_bodyid[geom]).name, model.geom_dataid[geom]
        if name in SLOTS and mesh >= 0:
            start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            heights = (
                data.geom_xpos[geom][2]
                + model.mesh_vert[start : start + count] @ data.geom_xmat[geom].reshape(3, 3)[2]
            )
            low[name] = min(low.get(name, np.inf), heights.min())
    return low


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_thing_stays_where_it_is_laid_and_is_drawn_where_it_is_touched(bowls, which):
    twin = bowls[which]
    for seed in (3, 4):
        twin.reset("open_drawer", seed)
        layout = lay(TASKS["open_drawer"], seed, twin.props)
        view = View(twin.state())
        for slot, low in lowest_points(twin).items():
            thing, place = twin.props[slot], view.place(slot)
            assert place[2] == pytest.approx(thing.rest, abs=0.003), thing.form
            np.testing.assert_allclose(place[:2], layout.places[slot][:2], atol=0.006, err_msg=thing.form)
            assert -0.004 < low < 0.004, f"{thing.form} is drawn {low * 1000:.1f} mm above the table"


def test_a_task_names_the_thing_that_lies_in_its_slot(bowls):
    props = FRUIT_BOWL[0]
    task = TASKS["put_broccoli_on_plate"]
    assert task.noun(props) == props["broccoli"].noun == "carrot" and task.noun() == "broccoli"
    assert task.said("broccoli") == (task.instructions, task.held_out)
    bowls[0].reset(task.name, 8)
    assert bowls[0].instruction in task.said("carrot")[0] and "carrot" in bowls[0].instruction
    assert TASKS["open_drawer"].noun(props) is None and lay(TASKS["open_drawer"], 8, props) is not None


@pytest.mark.parametrize("task", ["pick_bell_pepper", "take_eggplant_from_plate", "close_drawer"])
def test_layouts_keep_clear_of_distractors_which_keep_clear_of_the_arms_way(task):
    crowded = [props for props in map(training, range(150)) if props.distractors]
    assert len(crowded) > 60 and {len(props.distractors) for props in crowded} == {1, 2}
    for seed, props in enumerate(crowded):
        places = lay(TASKS[task], seed, props).places
        for still in props.distractors:
            spot = np.array([still.x, still.y])
            for name, place in places.items():
                radius = PLATE_RADIUS if name == "plate" else props[name].radius
                assert np.linalg.norm(spot - place[:2]) > radius + still.radius + 0.029, (
                    f"{name} beside the {still.form}"
                )
            sweep = [CABINET_MIN[0] - DRAWER_TRAVEL - BAR_OFFSET - 0.08, CABINET_MIN[1] - 0.10]
            assert (spot + still.radius < sweep).any(), f"the {still.form} stands in the drawer's way"
            beside = (spot < FIELD_MIN - still.radius).any() or (spot > FIELD_MAX + still.radius).any()
            assert beside or still.height < 0.09, f"the hand cannot pass over the {still.form}"


@pytest.mark.parametrize(
    ("which", "task"),
    [
        (0, "put_broccoli_on_plate"),
        *(
            pytest.param(which, task, marks=pytest.mark.slow)
            for which, task in product(
                (0, 1), ("pick_eggplant", "put_broccoli_on_plate", "take_bell_pepper_from_plate")
            )
            if (which, task) != (0, "put_broccoli_on_plate")
        ),
    ],
)
def test_the_expert_handles_every_category(bowls, task, which):
    solved, seconds = succeeds(bowls[which], task, 2001, RIG)
    assert solved, f"not solved after {seconds:.1f} simulated seconds"


@pytest.mark.parametrize(
    "props, task",
    [
        (training(1), "put_eggplant_on_plate"),
        (instances(23), "pick_eggplant"),
        (instances(20), "pick_broccoli"),
    ],
)
def test_the_expert_handles_other_instances_among_distractors(props, task):
    twin = Twin(props)
    solved, seconds = succeeds(twin, task, 2002, RIG)
    assert solved, f"not solved after {seconds:.1f} simulated seconds"


def test_a_renderer_draws_the_props_it_is_given(bowls):
    slot = next(slot for slot in SLOTS if FRUIT_BOWL[0][slot].form == "banana")
    bowls[0].reset("open_drawer", 5)
    state = bowls[0].state()
    pictures = {}
    for props in (STANDARD, FRUIT_BOWL[0]):
        with Renderer("static", 192, 192, props=props) as renderer:
            pose, pictures[props] = renderer.pose(state), renderer.render(state).astype(int)
            u, v, w = renderer.intrinsics @ pose.rotation.inv().apply(View(state).place(slot) - pose.position)
    around = np.s_[round(v / w) - 2 : round(v / w) + 3, round(u / w) - 2 : round(u / w) + 3]
    yellow = pictures[FRUIT_BOWL[0]][around].reshape(-1, 3).mean(axis=0)
    assert yellow[0] > 100 and yellow[1] > 0.7 * yellow[0] and yellow[2] < 0.5 * yellow[0], yellow
    purple = pictures[STANDARD][around].reshape(-1, 3).mean(axis=0)
    assert purple[1] < 0.6 * purple[0], purple


def test_an_episode_can_start_anywhere_within_reach(bowls):
    twin = bowls[1]
    twin.reset("pick_eggplant", 6)
    laid = View(twin.state()).qpos[FREE["plate"] :].copy()
    turned = Pose(np.array([0.50, 0.05, 0.30]), (Pose(quaternion=twin.home().quaternion).rotation).as_quat())
    twin.reset("pick_eggplant", 6, start=turned)
    np.testing.assert_allclose(twin.commanded.position, turned.position, atol=0.002)
    np.testing.assert_allclose(twin.measured.position, turned.position, atol=0.006)
    np.testing.assert_allclose(View(twin.state()).qpos[FREE["plate"] :], laid, atol=1e-3)
    assert twin.time == 0.0 and np.abs(twin.joint_velocities).max() == 0.0
    command = Expert("pick_eggplant", props=twin.props).act(twin.state())
    towards = View(twin.state()).place("eggplant")[:2] - turned.position[:2]
    assert command.linear[:2] @ towards > 0.0
    with pytest.raises(ValueError, match=r"does not reach the start pose \[1.4, 0.0, 0.2\] m"):
        twin.reset("pick_eggplant", 6, start=Pose(np.array([1.4, 0.0, 0.2]), twin.home().quaternion))
    twin.reset("pick_eggplant", 6)
    np.testing.assert_array_equal(twin.commanded.position, twin.home().position)
