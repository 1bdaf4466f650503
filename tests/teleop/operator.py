"""A scripted operator with a clutch, and an arm that follows the commands exactly."""

import numpy as np

from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_teleop import quaternion
from gr1_teleop.clutch import Clutch
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.protocol import DeskVelocity, HandPose

RIG = Rig.load("kinova_gen2")
LIMITS, PERIOD = RIG.limits, RIG.period
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
NOWHERE = np.zeros(3)


def still(command):
    return not command.linear.any() and not command.angular.any()


class Operator:
    """The hand is in WebXR's local-floor (x right, y up, z to the operator). `step`: one control period."""

    def __init__(self, clutch=None, **settings):
        self.events = []
        self.clutch = clutch or Clutch(ClutchSettings(**settings), LIMITS, PERIOD, self.events.append)
        self.now, self.seq = 100.0, 0
        self.position, self.orientation = np.array([0.2, 1.1, -0.3]), quaternion.IDENTITY
        self.squeeze = self.trigger = self.age = 0.0
        self.tracked = self.visible = True
        self.stick, self.hand = False, "right"
        self.arm = Pose(np.array([0.4, 0.0, 0.2]), DOWN)
        self.closure = None

    def sample(self, **other):
        self.seq += 1
        values = dict(
            seq=self.seq,
            t=1e3 * self.now,
            hand=self.hand,
            tracked=self.tracked,
            squeeze=self.squeeze,
            trigger=self.trigger,
        )
        values |= dict(a=False, b=False, stick=self.stick, visible=self.visible)
        values |= (
            dict(position=tuple(self.position), orientation=tuple(self.orientation))
            if self.tracked
            else dict(position=None, orientation=None)
        )
        return HandPose(**values | other)

    def say(self, **other):
        self.clutch.add_sample(self.sample(**other), self.now, self.age)

    def desk(self, held, linear=NOWHERE, angular=NOWHERE, gripper=0.0, visible=True):
        self.seq += 1
        self.clutch.add_sample(
            DeskVelocity(self.seq, 1e3 * self.now, held, tuple(linear), tuple(angular), gripper, visible),
            self.now,
        )

    def step(self, move=NOWHERE, turn=NOWHERE, frames=4, **asked):
        """Moves and turns the hand by this much in one period, in `frames` frames; then the arm follows the
        command, if any."""
        share = quaternion.from_rotation_vector(np.array(turn, float) / max(frames, 1))
        for _ in range(frames):
            self.now += PERIOD / frames
            self.position = self.position + np.array(move, float) / frames
            self.orientation = quaternion.multiply(share, self.orientation)
            self.say()
        return self.ask(**asked)

    def ask(self, **asked):
        command = self.clutch.compute_command(self.arm, self.now, **{"closure": self.closure} | asked)
        if command:
            turned = quaternion.from_rotation_vector(command.angular * PERIOD)
            self.arm = Pose(
                self.arm.position + command.linear * PERIOD, quaternion.multiply(turned, self.arm.quaternion)
            )
            if command.engaged:
                self.closure = command.closure
        return command

    def wait(self, seconds):
        """No sample for this long."""
        self.now += seconds

    def grip(self):
        """Opens and squeezes; then the arm follows."""
        self.squeeze = 0.0
        self.step()
        self.squeeze = 1.0
        return self.step()


def moved(operator, since):
    return operator.arm.position - since.position


def settle(operator, steps=20):
    for _ in range(steps):
        operator.step()
