"""Arms for the gate's tests, the stories that they live through and what must hold at every tick."""

import math

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gr1_common.conventions import TICK
from gr1_core.kinematics import GEN2
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmState
from gr1_robot.arm.gate import Gate

RIG = Rig.load("kinova_gen2")
LIMITS = RIG.limits
LOW, HIGH = np.array(LIMITS.workspace_min), np.array(LIMITS.workspace_max)
CENTRE = (LOW + HIGH) / 2
EXPIRY = 1.5 * RIG.period
FALL_LINEAR = LIMITS.linear_speed / LIMITS.stop_time * TICK
FALL_ANGULAR = LIMITS.angular_speed / LIMITS.stop_time * TICK
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
NO_JOINTS = np.zeros((0, 2))


def gate(armed=True, limits=LIMITS, joint_limits=NO_JOINTS):
    return Gate(limits, RIG.period, armed, joint_limits)


class Plant:
    """An arm that does what it is told: it integrates twists, and its measured pose is `lag` ticks behind the
    commanded one.

    late: how many ticks old the state is that it reports, as its time says.
    """

    def __init__(self, gate, position=CENTRE, lag=0, late=0):
        self.gate, self.now, self.lag, self.late = gate, 100.0, lag, late
        self.trail = [Pose(np.array(position, float), DOWN)] * (lag + late + 1)
        self.motions = []

    @property
    def commanded(self):
        """The commanded position of this moment, f64[3] m."""
        return self.trail[-1].position

    @property
    def turned(self):
        """The angle between the commanded orientation of this moment and that of the start, rad."""
        return (Rotation.from_quat(self.trail[-1].quaternion) * Rotation.from_quat(DOWN).inv()).magnitude()

    def tick(self, measured="follow", faults=(), age=0.0, force=None):
        if isinstance(measured, str):
            measured = self.trail[-1 - self.late - self.lag]
        elif measured is not None:
            measured = Pose(measured, DOWN)
        at = self.now - self.late * TICK - age
        state = ArmState(measured, self.trail[-1 - self.late], np.zeros(0), np.zeros(0), 0.0, at, force)
        motion = self.gate.tick(self.now, state, None, faults)
        pose = self.trail[-1]
        turned = Rotation.from_rotvec(motion.angular * TICK) * Rotation.from_quat(pose.quaternion)
        self.trail.append(Pose(pose.position + motion.linear * TICK, turned.as_quat()))
        self.motions.append(motion)
        self.now += TICK
        return motion

    def run(self, seconds, command=None, source="policy"):
        for index in range(round(seconds / TICK)):
            if command is not None and index % 10 == 0:
                self.gate.submit_command(source, *command, self.now)
            self.tick()
        return self.motions[-1]


def moves(motion):
    return bool(motion.linear.any() or motion.angular.any())


FORWARD = ([0.1, 0.0, 0.0], [0.0, 0.0, 0.3])
FULL = ([LIMITS.linear_speed, 0.0, 0.0], [0.0, 0.0, LIMITS.angular_speed])

numbers = st.one_of(
    st.floats(-2.0, 2.0),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1e308, -1e-308]),
)
sane = st.one_of(st.just(0.0), st.floats(-0.3, 0.3), st.sampled_from([-0.5, 0.5]))
twists = st.one_of(
    *(st.tuples(st.tuples(of, of, of), st.tuples(of, of, of)) for of in (sane, sane, sane, numbers))
)
arrivals = st.one_of(
    st.just(0.0), st.just(0.0), st.floats(-1.0, 1.0), st.floats(allow_nan=True, allow_infinity=True)
)
commands = st.tuples(st.just("command"), st.sampled_from(["teleop", "home", "policy"]), twists, arrivals)
grips = st.tuples(st.just("gripper"), st.sampled_from(["teleop", "policy"]), numbers)
waits = st.tuples(st.just("wait"), st.integers(1, 25))
stops = st.tuples(st.sampled_from(["stop", "reset"]))
stories = st.lists(st.one_of(commands, commands, waits, waits, grips, stops), max_size=40)
positions = st.tuples(
    *[st.floats(low, high) for low, high in zip(LIMITS.workspace_min, LIMITS.workspace_max)]
)


def play(plant, story):
    """Tells the story to the plant's gate and yields after each tick (event that preceded it, motion)."""
    for event in story:
        if event[0] == "command":
            _, source, (linear, angular), late = event
            plant.gate.submit_command(source, linear, angular, plant.now + late)
        elif event[0] == "gripper":
            plant.gate.submit_gripper(event[1], event[2], plant.now)
        elif event[0] == "stop":
            plant.gate.stop()
        elif event[0] == "reset":
            plant.gate.reset(plant.now)
        for _ in range(event[1] if event[0] == "wait" else 1):
            yield event, plant.tick()


class JointArm:
    """A Gen2 that divides each twist among its joints as `share` says; its measured joints are `lag` ticks
    behind the commanded ones.

    late: how many ticks old the state is that it reports, as its time says.
    """

    def __init__(self, gate, joints, lag=0, share=None, late=0):
        self.gate, self.now, self.lag, self.share, self.late = gate, 100.0, lag, share or least_squares, late
        self.trail = [np.array(joints, float)] * (lag + late + 1)

    @property
    def joints(self):
        """The measured ones, f64[7] rad."""
        return self.trail[-1 - self.late - self.lag]

    def state(self, condition="fine"):
        """What the arm says; condition: how it is broken."""
        at = self.now - (1.0 if condition == "stale" else self.late * TICK)
        joints = np.full(7, math.nan) if condition == "nan_joints" else self.joints
        measured, commanded = (
            Pose(*GEN2.forward(self.joints)),
            Pose(*GEN2.forward(self.trail[-1 - self.late])),
        )
        if condition == "jump":
            measured = measured._replace(position=measured.position + (0.0, 0.0, 0.3))
        if condition == "nan_pose":
            measured = measured._replace(position=np.full(3, math.nan))
        if condition == "no_pose":
            measured = commanded = None
        force = {"press": np.array([0.0, 0.0, 99.0]), "nan_force": np.full(3, math.nan)}.get(condition)
        return ArmState(measured, commanded, joints, np.zeros(7), 0.0, at, force)

    def tick(self, condition="fine"):
        """Returns the state that the gate saw and the motion that it let through."""
        state = self.state(condition)
        jacobian = GEN2.jacobian(state.joints) if np.isfinite(state.joints).all() else None
        motion = self.gate.tick(self.now, state, jacobian, ["broken"] if condition == "fault" else [])
        rates = self.share(GEN2.jacobian(self.trail[-1]), np.concatenate([motion.linear, motion.angular]))
        self.trail.append(self.trail[-1] + rates * TICK)
        self.now += TICK
        return state, motion


def least_squares(jacobian, twist):
    """Joint velocities f64[7] for a twist, damped by 0.02: s / (s^2 + 0.02^2) for each singular value s."""
    left, sizes, right = np.linalg.svd(jacobian, full_matrices=False)
    return right.T @ (sizes / (sizes**2 + 0.02**2) * (left.T @ twist))


def with_another_posture(jacobian, twist):
    """The undamped answer and a motion of the elbow that the twist does not see, with the vendor's joint
    speeds: another controller.
    """
    *_, right = np.linalg.svd(jacobian)
    rates = np.linalg.pinv(jacobian, rcond=0.02) @ twist + 0.3 * np.linalg.norm(twist) * right[6]
    return rates / max((np.abs(rates) / np.radians([36, 36, 36, 36, 48, 48, 48])).max(), 1.0)


CONDITIONS = ("no_pose", "nan_pose", "nan_joints", "stale", "jump", "press", "nan_force", "fault")
