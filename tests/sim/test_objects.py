"""Objects on the table: sampled from a seed, at rest where the layout says, within the gripper's reach and
width.
"""

import colorsys
from itertools import product

import mujoco
import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import TASKS, Expert, Pose, Renderer, Twin
from gr1_core.sim.objects.catalogue import (
    CATEGORIES,
    MAX_GRASP_WIDTH,
    NAMED_CATEGORIES,
    OBJECT_SAMPLERS,
    SLOTS,
    STANDARD_OBJECTS,
    UNKNOWN_NOUN,
    ObjectSet,
    TableObject,
    training_objects,
    unseen_categories,
    unseen_instances,
)
from gr1_core.sim.rollout import run_expert_episode
from gr1_core.sim.scene import BAR_OFFSET, DRAWER_TRAVEL, PLATE_RADIUS, build
from gr1_core.sim.state import FREE_BODY_QPOS, StateView
from gr1_core.sim.tasks import CABINET_MIN, PLACEMENT_MAX, PLACEMENT_MIN, sample_layout

RIG = Rig.load("kinova_gen2")
NEW = tuple(category for category in NAMED_CATEGORIES if category not in SLOTS)
UNNAMED = next(
    objects
    for objects in map(training_objects, range(100))
    if all(objects.noun(slot) == UNKNOWN_NOUN for slot in SLOTS)
)
OBJECT_SETS = (
    ObjectSet(tuple(map(TableObject, NEW[:3]))),
    ObjectSet(tuple(map(TableObject, NEW[3:]))),
    ObjectSet(UNNAMED.in_slots),
)


@pytest.fixture(scope="module")
def twins():
    """The six test categories on two tables, and a table of unnamed objects."""
    return [Twin(objects) for objects in OBJECT_SETS]


def test_the_standard_objects_keep_their_sizes():
    """Recordings and checkpoints rely on the sizes of the collision bodies of the first version."""
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
    assert [STANDARD_OBJECTS[slot].rest_height for slot in SLOTS] == [
        0.0265,
        0.040,
        0.034,
    ] and STANDARD_OBJECTS.distractors == ()
    assert Twin().objects is STANDARD_OBJECTS and ObjectSet() == STANDARD_OBJECTS


def touched(model, geom, body):
    return model.geom_bodyid[geom] == model.body(body).id and model.geom_contype[geom] != 0


@pytest.mark.parametrize("sampler", OBJECT_SAMPLERS.values(), ids=OBJECT_SAMPLERS)
def test_a_seed_gives_the_same_objects_and_another_seed_others(sampler):
    sampled = [sampler(seed) for seed in range(200)]
    assert sampled == [sampler(seed) for seed in range(200)]
    assert len(set(sampled)) == 200, "object sets are hashable and all different"
    for objects in sampled:
        for slot in SLOTS:
            assert 0.02 < objects[slot].width <= MAX_GRASP_WIDTH and objects[slot].radius < 0.09


def test_training_objects_test_instances_and_test_categories_do_not_overlap():
    def like(one, other):
        return one[0] == other[0] and abs(one[1] - other[1]) < 0.05 * other[1]

    for slot in SLOTS:
        seen, others = (
            [sampler(seed)[slot] for seed in range(500)] for sampler in (training_objects, unseen_instances)
        )
        seen = [item for item in seen if item.category == slot]
        sizes, colours = (
            np.array([get(item) for item in seen])
            for get in (lambda it: (it.width_scale, it.length_scale), lambda it: it.colour)
        )
        for other in others:
            resized = np.abs(sizes - (other.width_scale, other.length_scale)).max(axis=1) > 0.05
            recoloured = np.linalg.norm(colours - other.colour, axis=1) > 0.08
            reshaped = np.array(
                [bool(other.shape) and not like(other.shape[0], item.shape[0]) for item in seen]
            )
            assert (resized | recoloured | reshaped | bool(other.stripes)).all(), (
                f"{other} could be a training object"
            )
    trained = {training_objects(seed).noun(slot) for slot in SLOTS for seed in range(100)}
    assert (
        trained - {UNKNOWN_NOUN}
        == {unseen_instances(1).noun(slot) for slot in SLOTS}
        == {STANDARD_OBJECTS.noun(slot) for slot in SLOTS}
    )
    shown = [{unseen_categories(seed).noun(slot) for slot in SLOTS} for seed in range(60)]
    assert all(len(nouns) == 3 for nouns in shown) and set.union(*shown) == {
        CATEGORIES[category].noun for category in NEW
    }


def test_some_training_objects_have_any_colour_so_that_shape_counts():
    tables = [training_objects(seed) for seed in range(400)]
    for slot in SLOTS:
        values = np.array(
            [
                colorsys.rgb_to_hsv(*objects[slot].colour)[0]
                for objects in tables
                if objects[slot].category == slot
            ]
        )
        usual = colorsys.rgb_to_hsv(*CATEGORIES[slot].colour)[0]
        off = np.abs((values - usual + 0.5) % 1.0 - 0.5) > 0.1
        assert 0.25 < off.mean() < 0.50 and np.ptp(values[off]) > 0.6


def test_some_training_tables_hold_unnamed_objects_and_no_test_does():
    unnamed = np.array(
        [sum(training_objects(seed).noun(slot) == UNKNOWN_NOUN for slot in SLOTS) for seed in range(400)]
    )
    assert 0.3 < (unnamed > 0).mean() < 0.5 and all((unnamed == number).sum() > 15 for number in (1, 2, 3))
    assert not any(
        sampler(seed).noun(slot) == UNKNOWN_NOUN
        for sampler in (unseen_instances, unseen_categories)
        for seed in range(100)
        for slot in SLOTS
    )


def test_an_unknown_category_and_a_size_beyond_the_gripper_are_refused():
    with pytest.raises(ValueError, match="no object category 'cucumber': there are eggplant, broccoli"):
        TableObject("cucumber")
    with pytest.raises(
        ValueError, match="peach with width_scale 1.5 is 0.099 m wide: the gripper takes at most 0.075 m"
    ):
        TableObject("peach", width_scale=1.5)


def lowest_points(twin):
    """Slot -> z of the lowest visual vertex, metres above the table."""
    model = build(twin.objects)
    data = mujoco.MjData(model)
    data.qpos[:] = StateView(twin.state()).qpos
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
def test_an_object_rests_where_the_layout_says_and_its_mesh_touches_the_table(twins, which):
    twin = twins[which]
    for seed in (3, 4):
        twin.reset("open_drawer", seed)
        layout = sample_layout(TASKS["open_drawer"], seed, twin.objects)
        view = StateView(twin.state())
        for slot, low in lowest_points(twin).items():
            item, position = twin.objects[slot], view.position(slot)
            assert position[2] == pytest.approx(item.rest_height, abs=0.003), item.category
            np.testing.assert_allclose(
                position[:2], layout.poses[slot][:2], atol=0.006, err_msg=item.category
            )
            assert -0.004 < low < 0.004, f"{item.category} is rendered {low * 1000:.1f} mm above the table"


def test_a_task_names_the_object_in_its_slot(twins):
    objects = OBJECT_SETS[0]
    task = TASKS["put_broccoli_on_plate"]
    assert task.noun(objects) == objects["broccoli"].noun == "carrot" and task.noun() == "broccoli"
    assert task.instructions_for("broccoli") == (task.instructions, task.held_out)
    twins[0].reset(task.name, 8)
    assert twins[0].instruction in task.instructions_for("carrot")[0] and "carrot" in twins[0].instruction
    assert (
        TASKS["open_drawer"].noun(objects) is None
        and sample_layout(TASKS["open_drawer"], 8, objects) is not None
    )


@pytest.mark.parametrize("task", ["pick_bell_pepper", "take_eggplant_from_plate", "close_drawer"])
def test_layouts_keep_clear_of_distractors_and_these_of_the_arm(task):
    crowded = [objects for objects in map(training_objects, range(150)) if objects.distractors]
    assert len(crowded) > 60 and {len(objects.distractors) for objects in crowded} == {1, 2}
    for seed, objects in enumerate(crowded):
        poses = sample_layout(TASKS[task], seed, objects).poses
        for item in objects.distractors:
            centre = np.array([item.x, item.y])
            for name, position in poses.items():
                radius = PLATE_RADIUS if name == "plate" else objects[name].radius
                assert np.linalg.norm(centre - position[:2]) > radius + item.radius + 0.029, (
                    f"{name} beside the {item.category}"
                )
            sweep = [CABINET_MIN[0] - DRAWER_TRAVEL - BAR_OFFSET - 0.08, CABINET_MIN[1] - 0.10]
            assert (centre + item.radius < sweep).any(), f"the {item.category} stands in the drawer's way"
            beside = (centre < PLACEMENT_MIN - item.radius).any() or (
                centre > PLACEMENT_MAX + item.radius
            ).any()
            assert beside or item.height < 0.09, f"the gripper cannot pass over the {item.category}"


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
def test_the_expert_handles_every_category(twins, task, which):
    solved, seconds = run_expert_episode(twins[which], task, 2001, RIG)
    assert solved, f"not solved after {seconds:.1f} simulated seconds"


@pytest.mark.parametrize(
    "objects, task",
    [
        (training_objects(1), "put_eggplant_on_plate"),
        (unseen_instances(23), "pick_eggplant"),
        (unseen_instances(20), "pick_broccoli"),
    ],
)
def test_the_expert_handles_other_instances_among_distractors(objects, task):
    twin = Twin(objects)
    solved, seconds = run_expert_episode(twin, task, 2002, RIG)
    assert solved, f"not solved after {seconds:.1f} simulated seconds"


def test_a_renderer_shows_its_objects(twins):
    slot = next(slot for slot in SLOTS if OBJECT_SETS[0][slot].category == "banana")
    twins[0].reset("open_drawer", 5)
    state = twins[0].state()
    images = {}
    for objects in (STANDARD_OBJECTS, OBJECT_SETS[0]):
        with Renderer("static", 192, 192, objects=objects) as renderer:
            pose, images[objects] = renderer.pose(state), renderer.render(state).astype(int)
            u, v, w = renderer.intrinsics @ pose.rotation.inv().apply(
                StateView(state).position(slot) - pose.position
            )
    around = np.s_[round(v / w) - 2 : round(v / w) + 3, round(u / w) - 2 : round(u / w) + 3]
    yellow = images[OBJECT_SETS[0]][around].reshape(-1, 3).mean(axis=0)
    assert yellow[0] > 100 and yellow[1] > 0.7 * yellow[0] and yellow[2] < 0.5 * yellow[0], yellow
    purple = images[STANDARD_OBJECTS][around].reshape(-1, 3).mean(axis=0)
    assert purple[1] < 0.6 * purple[0], purple


def test_an_episode_can_start_anywhere_within_reach(twins):
    twin = twins[1]
    twin.reset("pick_eggplant", 6)
    laid = StateView(twin.state()).qpos[FREE_BODY_QPOS["plate"] :].copy()
    turned = Pose(np.array([0.50, 0.05, 0.30]), (Pose(quaternion=twin.home().quaternion).rotation).as_quat())
    twin.reset("pick_eggplant", 6, start=turned)
    np.testing.assert_allclose(twin.commanded.position, turned.position, atol=0.002)
    np.testing.assert_allclose(twin.measured.position, turned.position, atol=0.006)
    np.testing.assert_allclose(StateView(twin.state()).qpos[FREE_BODY_QPOS["plate"] :], laid, atol=1e-3)
    assert twin.time == 0.0 and np.abs(twin.joint_velocities).max() == 0.0
    command = Expert("pick_eggplant", objects=twin.objects).act(twin.state())
    towards = StateView(twin.state()).position("eggplant")[:2] - turned.position[:2]
    assert command.linear[:2] @ towards > 0.0
    with pytest.raises(ValueError, match=r"does not reach the start pose \[1.4, 0.0, 0.2\] m"):
        twin.reset("pick_eggplant", 6, start=Pose(np.array([1.4, 0.0, 0.2]), twin.home().quaternion))
    twin.reset("pick_eggplant", 6)
    np.testing.assert_array_equal(twin.commanded.position, twin.home().position)
