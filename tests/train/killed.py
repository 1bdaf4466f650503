"""A run that kills itself (SIGKILL) at a chosen moment: `python -m tests.train.killed MOMENT RECIPE key=value ...`."""

import os
import signal
import sys

from gr1_core.train import recipe, state, trainer


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_fourth_step() -> None:
    gradients = trainer.Trainer._gradients

    def until(self, *arguments):
        done = gradients(self, *arguments)
        if self.step == 3:
            kill()
        return done

    trainer.Trainer._gradients = until


def while_a_state_is_written() -> None:
    save = state.save_file

    def cut(tensors, path):
        save(tensors, path)
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        kill()

    state.save_file = cut


if __name__ == "__main__":
    moment, name, *changes = sys.argv[1:]
    globals()[moment]()
    trainer.train(recipe.load(name, changes))
