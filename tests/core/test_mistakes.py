"""Mistakes in what is typed: one line with the nearest right word and exit code 2, before a heavy library is
imported.
"""

import json
import subprocess
import sys

import pytest

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
RUN_ALL = """
import contextlib, io, json, sys
from gr1_core.cli import main
heavy = {"torch", "mujoco", "rclpy", "pandas"}
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = main(line.split())
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue(), sorted(heavy & set(sys.modules))]), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each line is answered with. All in one process, in turn: Python itself starts once."""
    folder = tmp_path_factory.mktemp("day")
    (folder / "bags").mkdir()
    (folder / "data" / "meta").mkdir(parents=True)
    (folder / "data" / "meta" / "info.json").write_text("{}")
    (folder / "lab.yaml").write_text("arm: {}\n")
    words = [sys.executable, "-c", RUN_ALL, json.dumps(list(MISTAKES))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return dict(zip(MISTAKES, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_in_one_line_with_what_may_be_meant(line, answers):
    code, said, heavy = answers[line]
    assert MISTAKES[line] in said
    assert (code, said.count("\n"), heavy) == (2, 1, [])
