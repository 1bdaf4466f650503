"""Distances of an arm's parts and how joints change them, against dense samples and differences."""

from dataclasses import replace

import numpy as np
import pytest

from gr1_core.kinematics import GEN2, GEN2_CAPSULES, GEN3_CAPSULES, Capsule, Chain, Joint, gen3
from gr1_core.rig import Obstacle, Part, Rig, RigError
from gr1_robot.arm.capsules import Body, Box, body_of, nearest_points

from .inert import GEN2_READY

CRATE = {"crate": Box(np.array([0.3, -0.1, 0.1]), np.array([0.6, 0.2, 0.4]))}


@pytest.mark.parametrize(
    ("chain", "capsules"), [(GEN2, GEN2_CAPSULES), (gen3(), GEN3_CAPSULES)], ids=["Gen2", "Gen3"]
)
def test_how_the_distances_change_is_their_derivative(chain, capsules):
    body = Body(chain, capsules, -0.1, CRATE)
    postures, step = np.random.default_rng(0).uniform(-3.0, 3.0, (40, 7)), 1e-6
    found = body.clearances(postures)
    np.testing.assert_array_equal(found.distance, body.distances(postures))
    ahead, behind = (
        np.array([body.distances(postures + sign * step * axis) for axis in np.eye(7)]) for sign in (1, -1)
    )
    # Within a box, where the arm must never be, the way out is not unique.
    outside = found.distance > -0.008
    assert outside.mean() > 0.8
    expected = np.moveaxis((ahead - behind) / (2 * step), 0, 2)
    np.testing.assert_allclose(found.change[outside], expected[outside], atol=1e-5)
    for posture, jacobian in zip(postures, found.jacobian):
        np.testing.assert_allclose(jacobian, chain.jacobian(posture), atol=1e-12)


def test_parts_that_meet_in_few_postures_are_watched_too():
    """Here the Gen3's wrist is 3 mm within its shoulder; 3000 random postures do not show it."""
    posture = np.radians([[136.2, 128.3, 141.5, -147.2, 174.8, 51.4, -143.8]])
    body = Body(gen3(), GEN3_CAPSULES)
    distances = dict(zip(body.names, body.distances(posture)[0]))
    assert distances["shoulder and wrist, joint 6"] == pytest.approx(-0.0027, abs=1e-4)


def test_the_nearest_points_of_segments_are_the_nearest_of_many():
    rng = np.random.default_rng(1)
    p, u, q, v = rng.normal(size=(4, 200, 3))
    u[:20], v[10:30] = 0.0, 0.0  # points
    v[40:60] = 2.0 * u[40:60]  # parallel
    first, second = nearest_points(p, u, q, v)
    shares = np.linspace(0.0, 1.0, 60)[:, None]
    for n in range(200):
        many = np.linalg.norm((p[n] + shares * u[n])[:, None] - (q[n] + shares * v[n]), axis=2).min()
        assert np.linalg.norm(first[n] - second[n]) <= many + 1e-9


def test_the_distance_to_a_box_is_that_of_the_nearest_of_many_points():
    body = Body(GEN2, GEN2_CAPSULES, -5.0, CRATE)
    postures = np.random.default_rng(2).uniform(-3.0, 3.0, (60, 7))
    columns = [number for number, name in enumerate(body.names) if name.endswith("and crate")]
    capsules = [capsule for capsule in GEN2_CAPSULES if capsule.joint > 0]
    for posture, distances in zip(postures, body.distances(postures)[:, columns]):
        origins, rotations = (part[0] for part in GEN2.frames(posture[None]))
        for capsule, distance in zip(capsules, distances):
            shares = np.linspace(0.0, 1.0, 200)[:, None]
            line = np.array(capsule.start) + shares * (np.array(capsule.end) - capsule.start)
            points = origins[capsule.joint] + line @ rotations[capsule.joint].T
            nearest = np.linalg.norm(
                points - np.clip(points, CRATE["crate"].low, CRATE["crate"].high), axis=1
            ).min()
            assert distance == pytest.approx(nearest - capsule.radius, abs=2e-3)


def test_parts_that_always_touch_or_never_meet_are_not_watched():
    arm, stiff = (
        Chain(
            [Joint((0, 0, 0.2), (np.pi / 2, 0, 0), ends), Joint((0, 0.3, 0), (0, 0, 0), ends)],
            (0, 0.3, 0),
            (0, 0, 0),
        )
        for ends in ((-150, 150), (-5, 5))
    )
    links = [Capsule("base", 0, (0, 0, 0), (0, 0, 0.1), 0.05)] + [
        Capsule(name, joint, (0, 0, 0), (0, 0.3, 0), 0.03) for joint, name in ((1, "lower"), (2, "upper"))
    ]
    body = Body(arm, links, -1.0)
    assert "base and upper" in body.names and "lower and upper" not in body.names
    assert "base and upper" not in Body(stiff, links, -1.0).names


def test_a_rig_adds_obstacles_and_parts_and_replaces_those_of_the_same_name():
    rig = Rig.load("kinova_gen2")
    lamp = Part(joint=4, start=(0, 0, 0), end=(0, 0.1, 0), radius=0.03)
    body = body_of(
        replace(
            rig,
            obstacles={"crate": Obstacle((0.3, -0.1, 0.1), (0.6, 0.2, 0.4))},
            body={"lamp": lamp, "wrist camera": replace(lamp, joint=7)},
        ),
        GEN2,
        GEN2_CAPSULES,
    )
    assert "lamp and crate" in body.names and "lamp and the table" in body.names
    assert [capsule.joint for capsule in body.capsules if capsule.name == "wrist camera"] == [7]
    assert len(body.capsules) == len(GEN2_CAPSULES), "a lamp more, two capsules of the camera in one"
    with pytest.raises(RigError, match="body.lamp.joint is 9, but this arm has joints 1 to 7"):
        body_of(replace(rig, body={"lamp": replace(lamp, joint=9)}), GEN2, GEN2_CAPSULES)


def test_the_capsules_hold_the_simulated_arm():
    mujoco = pytest.importorskip("mujoco")
    from gr1_core.sim import Twin, kinova

    twin = Twin()
    model, data = twin._model, twin._data
    for closure in (0.0, 0.5, 1.0):
        data.qpos[:7] = GEN2_READY
        for finger in kinova.FINGERS:
            data.qpos[model.joint(finger).qposadr[0]] = kinova.FINGER_OPEN + closure * (
                kinova.FINGER_CLOSED - kinova.FINGER_OPEN
            )
        mujoco.mj_forward(model, data)
        origins, rotations = (part[0] for part in GEN2.frames(GEN2_READY[None]))
        assert np.abs(origins[7] - data.body("link7").xpos).max() < 1e-9
        fingers = [name + part for name in kinova.FINGERS for part in ("", "_tip")]
        for body in [*(f"link{number}" for number in range(1, 8)), "wrist_camera", *fingers]:
            points = vertices(model, data, model.body(body).id)
            excess = outermost(points, origins, rotations)
            assert excess < (0.008 if body in fingers else 0.003), (body, closure)


def vertices(model, data, body):
    """f64[n, 3] m: the corners of a body's visible meshes and boxes."""
    found = []
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] != body or model.geom_group[geom] != 1:
            continue
        if model.geom_dataid[geom] >= 0:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            points = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        else:
            points = model.geom_size[geom] * np.array(list(np.ndindex(2, 2, 2))) * 2 - model.geom_size[geom]
        found.append(data.geom_xpos[geom] + points @ data.geom_xmat[geom].reshape(3, 3).T)
    return np.concatenate(found)


def outermost(points, origins, rotations):
    """m, how far the outermost of the points is outside of all capsules."""
    inside = np.full(len(points), np.inf)
    for capsule in GEN2_CAPSULES:
        ends = [
            origins[capsule.joint] + rotations[capsule.joint] @ np.array(end)
            for end in (capsule.start, capsule.end)
        ]
        way = ends[1] - ends[0]
        share = np.clip((points - ends[0]) @ way / max(way @ way, 1e-12), 0.0, 1.0)
        off = np.linalg.norm(points - ends[0] - share[:, None] * way, axis=1) - capsule.radius
        inside = np.minimum(inside, off)
    return inside.max()
