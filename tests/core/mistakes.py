"""Mistyped lines and what they are answered with; as a program: how long each takes.

    python -m tests.core.mistakes

Each line is a process of its own. Prints wall and processor seconds, the exit code and the answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MISTAKES = {
    "evaluat sim --expert": "did you mean `gr1 evaluate sim`?",
    "evaluate simm --expert": "did you mean `gr1 evaluate sim`?",
    "evaluate sim --chekpoint demo": "no option '--chekpoint', did you mean '--checkpoint'?",
    "evaluate sim --checkpoint dmo": "no checkpoint 'dmo': there is no such folder, did you mean 'demo'?",
    "evaluate sim --expert --tasks pick_egplant": "task 'pick_egplant', did you mean 'pick_eggplant'?",
    "evaluate sim --expert --suites sen": "unknown suite 'sen', did you mean 'seen'?",
    "evaluate sim --expert --suites drawer --tasks pick_eggplant": "suite 'drawer' has none of the tasks",
    "evaluate sim --expert --episodes ten": "'ten' is not a whole number from 1 up",
    "evaluate data --checkpoint demo --dataset dta": "no dataset 'dta', did you mean 'data'?",
    "evaluate data --checkpoint demo --dataset none": "make one with `gr1 convert bags BAGS --out none`",
    "evaluate calvin --expert --renderer eggl": "'eggl' is not one of egl, tiny, did you mean 'egl'?",
    "collect sim --episodes 5 --out x --tasks pick_egplant": "did you mean 'pick_eggplant'?",
    "collect sim --episodes 5 --out x --rig kinova_gen22": "rig 'kinova_gen22', did you mean 'kinova_gen2'?",
    "finetune finetune-smal data=data": "no recipe 'finetune-smal', did you mean 'finetune-small'?",
    "finetune finetune-small dta=data": "dta is unknown, did you mean 'data'?",
    "finetune finetune-small data=data optimiser.lr=1": "optimiser is unknown, did you mean 'optimizer'?",
    "finetune finetune-small data=none": "make one with `gr1 convert bags BAGS --out none`",
    "pretrain finetune-small data=data": "has stage finetune: run it with `gr1 finetune finetune-small`",
    "convert bags bgs --out x": "no folder 'bgs', did you mean 'bags'?",
    "convert bags bags --out x --outcomes sucess": "did you mean 'success'?",
    "replay bgs --checkpoint demo": "no folder 'bgs', did you mean 'bags'?",
    "bags list bgs": "no folder 'bgs', did you mean 'bags'?",
    "bench policy --rig clavin": "no rig 'clavin', did you mean 'calvin'?",
    "record startt": "'startt' is not one of start, success, failure, discard, did you mean 'start'?",
    "up --robt sim": "no option '--robt', did you mean '--robot'?",
    "up --robot smi": "robot: 'smi' is not one of sim, kinova_gen2",
    "up --checkpoint dmo": "no checkpoint 'dmo': there is no such folder, did you mean 'demo'?",
    "up --task pick_egplant": "unknown task 'pick_egplant', did you mean 'pick_eggplant'?",
    "up --hardware lab.yml": "no file 'lab.yml', did you mean 'lab.yaml'?",
    "list rgs": "'rgs' is not one of tasks, suites, recipes, rigs, checkpoints, did you mean 'rigs'?",
    "rig check kinova_gen22": "no rig 'kinova_gen22', did you mean 'kinova_gen2'?",
    "up --rig kinova_gen22": "no rig 'kinova_gen22', did you mean 'kinova_gen2'?",
}


def prepare(folder: Path) -> Path:
    """Makes the folders and files that exist where the lines are typed."""
    (folder / "bags").mkdir()
    (folder / "data" / "meta").mkdir(parents=True)
    (folder / "data" / "meta" / "info.json").write_text("{}")
    (folder / "lab.yaml").write_text("arm: {}\n")
    return folder


def main() -> int:
    """Returns 1 if an answer is not the right one or took a processor second or more."""
    wrong = 0
    print("  wall    cpu  code  line -> answer")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for line, wanted in MISTAKES.items():
            before, began = os.times(), time.monotonic()
            words = [sys.executable, "-m", "gr1_core", *line.split()]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            after, wall = os.times(), time.monotonic() - began
            cpu = sum(after[2:4]) - sum(before[2:4])
            right = wanted in done.stderr and done.returncode == 2 and cpu < 1.0
            wrong += not right
            print(
                f"{wall:4.2f} s {cpu:4.2f} s {done.returncode:4d}  {'' if right else 'WRONG '}gr1 {line}\n"
                f"{'':22}{done.stderr.strip()}",
                flush=True,
            )
    print(f"{len(MISTAKES) - wrong} of {len(MISTAKES)} right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
