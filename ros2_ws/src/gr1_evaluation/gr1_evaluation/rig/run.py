"""One run of `gr1 evaluate rig`: stack, judge, keyboard, and the report at the end."""

from __future__ import annotations

import argparse
import json
import signal
import threading

from gr1_core import Rig
from gr1_core.sim.tasks import TASKS
from gr1_evaluation.rig import report
from gr1_evaluation.rig.judging import Verdict, VerdictQueue, numbered_kinds
from gr1_evaluation.rig.records import Plan, Records
from gr1_evaluation.rig.trials import Interrupted, RigEvaluation

_KEYS_S = 0.1


def run(options: argparse.Namespace, plan: Plan) -> int:
    """The exit code: 0 decided or all pairs done, 1 an error, 130 interrupted."""
    records = Records(options.out, plan, options.seed)
    if options.reveal:
        records.reveal()
        return _conclude(records)
    print(f"order sealed: SHA-256 {records.order.sha256}; results in {options.out}", flush=True)
    if records.results:
        done = len(records.judged())
        print(f"{done} trials are judged already: going on", flush=True)
    code = _run_trials(options, plan, records)
    return code or _conclude(records)


def _run_trials(options: argparse.Namespace, plan: Plan, records: Records) -> int:
    from gr1_evaluation.rig.stack_client import RigError, StackClient
    from gr1_policy.trial_runner import TrialError, TrialsClosed

    verdicts, rig = VerdictQueue(), Rig.load(f"{plan.checkpoints[0]}/rig.yaml")
    client = StackClient(options.namespace, rig, verdicts, plan.seconds)
    evaluation = RigEvaluation(records, client, verdicts, lambda text: print(text, flush=True))
    ended = threading.Event()

    def end(*_) -> None:
        ended.set()
        evaluation.end()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        client.require()
        client.automatic = _judged_by_twin(options.judge, client.simulated(), plan)
        keys = threading.Thread(target=_read_keys, args=(verdicts, ended), name="keys", daemon=True)
        if not client.automatic:
            print(f"s success, f failure ({numbered_kinds()}), r redo, Enter start; Ctrl-C ends", flush=True)
            keys.start()
        evaluation.run()
        return 0
    except (Interrupted, TrialsClosed):
        print("interrupted: the same command goes on", flush=True)
        return 130
    except (RigError, TrialError, OSError) as error:
        print(f"gr1 evaluate rig: {error}; the same command goes on", flush=True)
        return 1
    finally:
        ended.set()
        client.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _judged_by_twin(judge: str, simulated: bool, plan: Plan) -> bool:
    from gr1_evaluation.rig.stack_client import RigError

    if judge == "person" or (judge == "auto" and not simulated):
        return False
    if not simulated:
        raise RigError("--judge twin: this stack's arm is not the twin: leave --judge out")
    if unknown := [task for task in plan.tasks if task not in TASKS]:
        raise RigError(
            f"the twin knows no task '{unknown[0]}': give {', '.join(TASKS)}, or judge yourself with --judge "
            "person"
        )
    return True


def _read_keys(verdicts: VerdictQueue, ended: threading.Event) -> None:
    from gr1_bringup.keyboard import Keyboard

    with Keyboard() as keyboard:
        while not ended.wait(_KEYS_S):
            for line in keyboard.lines():
                try:
                    verdicts.put(Verdict.parse(line, "terminal"))
                except ValueError as error:
                    print(error, flush=True)


def _conclude(records: Records) -> int:
    print(report.table(records))
    print(f"page with both videos of each pair: {report.write_page(records)}")
    print(json.dumps(report.document(records)), flush=True)
    return 0
