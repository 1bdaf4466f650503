"""Arms with inertia, with joints and with a body, for the gate's tests; what must hold for them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np

from gr1_common.conventions import TICK
from gr1_core import kinematics
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmLimits, ArmState
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.gate import Gate
from gr1_robot.arm.inertia import Inertia

VENDOR = ArmLimits(0.2, 1.07, 0.64, 2.75, linear_braking=0.64, angular_braking=2.75)
GEN2_READY = np.radians([171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4])
GEN3_READY = np.radians([0.0, 20.0, 180.0, -85.0, 0.0, -75.0, 90.0])
_DAMPING = 0.02**2 * np.eye(6)


class Robot:
    """A kind of arm: rig, chain, body, the vendor's limits and a posture with the hand down."""

    def __init__(self, rig: Rig, chain, capsules, vendor: ArmLimits, ready: np.ndarray):
        self.rig, self.chain, self.vendor, self.ready = rig, chain, vendor, ready
        self.body = body_of(rig, chain, capsules)

    def gate(self, armed: bool = True, watched: bool = True) -> Gate:
        """watched: whether it knows the arm's body."""
        body = self.body if watched else None
        limits = self.rig.limits, self.rig.period, armed, self.chain.limits
        return Gate(*limits, self.vendor, self.chain.speeds, body)

    def posture(self, rng: np.random.Generator) -> np.ndarray:
        """Joints f64[7] rad at random: the fingertips in the workspace, all parts clear by 10 mm."""
        limits, ends = self.rig.limits, self.chain.limits
        ends = np.where(np.isfinite(ends), ends, (-math.pi, math.pi))
        while True:
            joints = rng.uniform(ends[:, 0] + 0.1, ends[:, 1] - 0.1)
            tip, _ = self.chain.forward(joints)
            inside = np.all(tip > np.array(limits.workspace_min) + 0.005) and np.all(
                tip < np.array(limits.workspace_max) - 0.005
            )
            if inside and self.body.distances(joints[None]).min() > 0.01:
                return joints


@cache
def robot(name: str) -> Robot:
    """gen2, gen3 or twin."""
    if name in ("gen2", "twin"):
        rig = Rig.load("kinova_gen2")
        return Robot(rig, kinematics.GEN2, kinematics.GEN2_CAPSULES, VENDOR, GEN2_READY)
    chain, rig = kinematics.gen3(), Rig.load("kinova_gen3")
    return Robot(rig, chain, kinematics.GEN3_CAPSULES, VENDOR._replace(carries_on=0.135), GEN3_READY)


class InertArm:
    """An arm behind its gate. It follows `lag` s late, with the vendor's accelerations, its joints by damped
    least squares. history: joints, joint velocities and fingertips of each tick.
    """

    def __init__(self, kind: Robot, joints, lag: float = 0.06, gate: Gate | None = None):
        self.kind, self.gate, self.now = kind, gate or kind.gate(), 100.0
        self.joints, self._inertia = np.array(joints, float), Inertia(kind.vendor, lag)
        self.history: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @property
    def velocity(self) -> np.ndarray:
        """f64[6], m/s and rad/s."""
        return self._inertia.velocity

    def tick(self):
        chain, joints = self.kind.chain, self.joints
        jacobian, pose = chain.jacobian(joints), Pose(*chain.forward(joints))
        motion = self.gate.tick(self.now, ArmState(pose, pose, joints, np.zeros(7), 0.0, self.now), jacobian)
        twist = np.concatenate(self._inertia.step(motion.linear, motion.angular))
        rates = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING, twist)
        self.history.append((joints, rates, pose.position))
        self.joints, self.now = joints + rates * TICK, self.now + TICK
        return motion

    def run(self, seconds: float, linear=(0.0, 0.0, 0.0), angular=(0.0, 0.0, 0.0)):
        for index in range(round(seconds / TICK)):
            if index % 10 == 0:
                self.gate.submit_command("policy", linear, angular, self.now)
            motion = self.tick()
        return motion

    def wander(self, rng: np.random.Generator, commands: int, holds=(1, 3, 10, 10, 30)) -> None:
        """Random commands up to full speed, each for one of `holds` ticks; a stop or a silence now and then.

        Directions change a little with each command, and altogether after 20 ticks or so.
        """
        limits, direction, shares = self.kind.rig.limits, rng.normal(size=6), (1.0, 1.0)
        for _ in range(commands):
            hold = int(rng.choice(holds))
            if rng.random() < hold / 20:
                direction, shares = (
                    rng.normal(size=6),
                    ((1, 0), (0, 1), (1, 1), rng.random(2))[rng.integers(4)],
                )
            direction = direction + 0.1 * rng.normal(size=6)
            linear = shares[0] * limits.linear_speed * direction[:3] / np.linalg.norm(direction[:3])
            angular = shares[1] * limits.angular_speed * direction[3:] / np.linalg.norm(direction[3:])
            self.run(TICK * hold, linear, angular)
            event = rng.random() / hold
            if event < 0.003:
                self.gate.stop()
                self.rest(TICK * rng.integers(1, 60))
            elif event < 0.006:
                self.rest(TICK * rng.integers(10, 40))
            if self.gate.latched:
                self.gate.reset(self.now)

    def rest(self, seconds: float) -> None:
        """Nothing is commanded."""
        for _ in range(round(seconds / TICK)):
            self.tick()

    def least_room(self) -> tuple[float, float, float]:
        """Over the history: the smallest distance of any pair, m; the largest share of a joint's speed limit;
        the smallest distance to a wall of the workspace, m, less than 0 beyond it.
        """
        joints, rates, tips = map(np.array, zip(*self.history))
        limits = self.kind.rig.limits
        return (
            self.kind.body.distances(joints).min(),
            (np.abs(rates) / self.kind.chain.speeds).max(),
            min((tips - limits.workspace_min).min(), (np.array(limits.workspace_max) - tips).min()),
        )


class TwinArm(InertArm):
    """The simulated arm behind its gate; its own controller moves its joints. driver: connected."""

    def __init__(self, driver, lag: float = 0.06):
        super().__init__(robot("twin"), driver.read_state().joints, lag)
        self._driver = driver
        driver.set_option("lag_s", lag)

    def tick(self):
        state = replace(self._driver.read_state(), at=self.now)
        motion = self.gate.tick(self.now, state, self._driver.jacobian(state.joints), self._driver.faults())
        self._driver.send_twist(motion.linear, motion.angular)
        self.history.append((state.joints, state.joint_velocities, state.measured.position))
        self.now += TICK
        return motion
