"""A run that kills itself (SIGKILL) at a chosen moment: `python -m tests.train.killed MOMENT RECIPE key=value
...`.
"""

import os
import signal
import sys

from gr1_core.train import learner, recipe, run_folder, setup


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_fourth_step() -> None:
    update = learner.Learner.update

    def until(self, summed, step, *arguments):
        if step == 3:
            kill()
        return update(self, summed, step, *arguments)

    learner.Learner.update = until


def while_a_state_is_written() -> None:
    save = run_folder.save_file

    def cut(tensors, path):
        save(tensors, path)
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        kill()

    run_folder.save_file = cut


if __name__ == "__main__":
    moment, name, *changes = sys.argv[1:]
    globals()[moment]()
    setup.train(recipe.load(name, changes))
