"""`gr1 up`: the whole stack from one command, without `ros2 launch`.

Each node is a process of its own; their logs, parameters and a film of the run go into a folder. Ctrl-C, SIGTERM or --seconds end it
with exit code 0; a node that ends by itself ends the run with exit code 1 and is named with its last lines.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gr1_bringup import processes, stack, status_table
from gr1_bringup.bag_summary import Bags
from gr1_evaluation import session
from gr1_fault_injection import fault_injector

START_LIMIT = 120.0
LINE_EVERY = 5.0
# How long the ROS graph needs to show what is running already.
DISCOVERY = 1.5
# A process that was killed stays in the ROS graph for the 20 s of its lease.
GHOST_LIMIT = 25.0
NODES = ("arm", "camera_static", "camera_wrist", "policy", "expert", "recorder", "teleop")
HEARD = {
    "arm": "arm: gate",
    "camera_static": "camera_static: stream",
    "camera_wrist": "camera_wrist: stream",
    "policy": "policy: step",
    "recorder": "recorder: episode",
    "teleop": "teleop: operator",
}
"""What a node that is up says on /diagnostics."""
BY_HAND = "python -m gr1_recorder start | success | failure | discard"
BY_PAGE = "the headset (A: start, twice: success; B twice: discard) and the workstation's page"
ANOTHER = (
    "another stack runs in ROS_DOMAIN_ID {domain}: end it, or set that variable to another number (0 to 101)"
)
UNTRAINED = "no --checkpoint: a small model with seeded random weights. It is UNTRAINED: what it does and predicts means nothing."
EXAMINE = (
    "robot:=sim: lay a table, say its sentence, judge what the policy does, and so on; WHAT: tasks (all in turn), a,b (these in turn) or "
    "a column of gr1 evaluate sim. Type another sentence at any time"
)
FAULT = "rehearse a fault of the simulated rig AT seconds after all nodes are up, FOR seconds; may be given again (docs/how-to/inject_faults.md)"


class NotRunning(RuntimeError):
    """The stack could not be brought up, or a part of it has ended by itself."""


def main(argv: list[str] | None = None) -> int:
    """Runs the stack; 0 after a clean end, 1 when a node died or the stack did not come up, 2 for wrong arguments."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    chosen = {argument.name: getattr(options, argument.name) for argument in stack.ARGUMENTS}
    try:
        chosen = stack.settings(**chosen)
        asked = session.parse(options.examine, options.trials, vars(options), chosen)
        for node in stack.nodes(chosen):
            processes.program(node)
        faults = (
            fault_injector.parse(options.fault, fault_injector.kinds(stack.nodes(chosen)))
            if options.fault
            else []
        )
        folder = Path(options.out or f"out/run-{datetime.now():%Y%m%d-%H%M%S}").absolute()
        _check_video(options, folder)
        _make("--out", folder)
        if chosen["collect"] == "true":
            _make("--bags", Path(chosen["bags"]))
    except stack.SettingError as error:
        console.print(f"gr1 up: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    with _signals() as ended:
        return _Run(chosen, options, folder, console, ended, faults, asked).run()


class _Run:
    def __init__(self, chosen, options, folder: Path, console: Console, ended, faults, asked):
        self.chosen, self.options, self.folder, self.console, self.ended = (
            chosen,
            options,
            folder,
            console,
            ended,
        )
        self.faults, self.rehearsal = faults, None
        self.teleop = stack.with_teleop(chosen)
        self.untrained = stack.with_policy(chosen) and not chosen["checkpoint"]
        self.bags = Bags(Path(chosen["bags"])) if chosen["collect"] == "true" else None
        film = None if options.no_video else Path(options.video or folder / "video.mp4").absolute()
        self.film, self.sitting = film, session.Sitting(asked, chosen, film, self._say) if asked else None
        self.live: Live | None = None
        self.environment = processes.environment(folder)
        self.processes = processes.Processes(folder, self.environment, self._say)

    def run(self) -> int:
        if self.untrained:
            self._say(UNTRAINED, "bold yellow")
        watching = ", the policy watches" if stack.with_policy(self.chosen) else ""
        driver = {
            "expert": f"the scripted expert drives{watching}",
            "vr": f"a person drives{watching}",
            "policy": "the policy drives",
        }
        takes_over = ", a person may take over" if self.teleop and self.chosen["drive"] != "vr" else ""
        recording = f"; bags go to {_short(self.bags.root)}" if self.bags else ""
        self._say(
            f"{driver[self.chosen['drive']]}{takes_over}{recording}; logs in {_short(self.folder)}; Ctrl-C ends it"
        )
        if self.bags and self.chosen["drive"] != "expert":
            self._say(f"episodes begin and end with: {f'{BY_PAGE}, or ' if self.teleop else ''}{BY_HAND}")
        code, monitor, video = 0, None, None
        try:
            nodes = stack.nodes(self.chosen)
            monitor, video = self._watchers()
            self._until_alone(monitor)
            if not self.ended:
                self.processes.start(
                    nodes=[node for node in nodes if not node.waits], namespace=self.chosen["namespace"]
                )
                self._until_up(monitor, [HEARD[node.name] for node in nodes if node.name in HEARD])
            if not self.ended:
                self.processes.start(
                    nodes=[node for node in nodes if node.waits], namespace=self.chosen["namespace"]
                )
                for one in filter(None, (video, self.sitting)):
                    one.start()
            self._until_ended(monitor)
        except (NotRunning, session.SittingError, stack.SettingError) as error:
            self._say(f"gr1 up: {error}", "red")
            code = 1
        finally:
            for watcher in filter(None, (self.sitting, video, monitor)):
                watcher.close()
            for process in self.processes.stop():
                self._say(f"{process.name} did not end on SIGINT: {process.how_it_ended()}", "yellow")
        self._summary(monitor, video)
        return code

    def _watchers(self):
        # It must look for other stacks where the nodes will be: on this machine only, unless the user has said otherwise.
        os.environ.update(self.environment)
        from gr1_common.stack_monitor import Monitor

        monitor, video = Monitor("gr1_up", self.chosen["namespace"], self.chosen["instruction"]), None
        self.began = time.monotonic()
        if self.faults:
            self.rehearsal = fault_injector.Rehearsal(
                self.faults, monitor.node, lambda text: self._say(text, "bold red")
            )
        if self.sitting:
            self.sitting.attach(monitor)
        elif self.film:
            from gr1_bringup.run_video import Video

            predicted = (
                ("predicted (untrained)" if self.untrained else "predicted")
                if stack.with_policy(self.chosen)
                else ""
            )
            video = Video(self.film, monitor, predicted, self._warn)
        monitor.start()
        return monitor, video

    def _until_alone(self, monitor) -> None:
        """Nothing is started beside another stack: two policies would command each other's arm."""
        warned = False
        while not self.ended:
            others, waited = sorted(set(monitor.present()) & set(NODES)), time.monotonic() - self.began
            if not others and waited > DISCOVERY:
                return monitor.forget()
            if others and waited > GHOST_LIMIT:
                raise NotRunning(ANOTHER.format(domain=_domain()))
            if others and waited > DISCOVERY and not warned:
                warned = True
                there = f"{', '.join(others)}: already running in ROS_DOMAIN_ID {_domain()}"
                self._warn(
                    f"{there}; waiting up to {GHOST_LIMIT:.0f} s for it to end, nothing is started meanwhile"
                )
            time.sleep(0.05)

    def _until_up(self, monitor, wanted: list[str]) -> None:
        began = time.monotonic()
        while not self.ended and not self._over():
            statuses = monitor.seen().statuses
            missing = [
                name.split(":")[0] for name in wanted if name not in statuses or not statuses[name].values
            ]
            present = monitor.present()
            if any(present[name] > 1 for name in NODES):
                # Both were started at the same moment and could not yet see each other.
                raise NotRunning(ANOTHER.format(domain=_domain()))
            if not missing:
                return self._say(f"all nodes are up after {time.monotonic() - began:.1f} s")
            if time.monotonic() - began > START_LIMIT:
                heard = f"after {START_LIMIT:.0f} s nothing was heard of {', '.join(missing)} on /diagnostics"
                raise NotRunning(f"{heard}; see the logs in {_short(self.folder)}")
            time.sleep(0.1)

    def _until_ended(self, monitor) -> None:
        began, printed = time.monotonic(), -LINE_EVERY
        terminal = self.console.is_terminal and not self.options.no_table
        live = (
            Live(console=self.console, auto_refresh=False, transient=True)
            if terminal
            else contextlib.nullcontext()
        )
        keyboard = self.sitting.keyboard if self.sitting else contextlib.nullcontext()
        with keyboard, live as self.live:
            while not self.ended:
                seconds = time.monotonic() - began
                if self.options.seconds is not None and seconds >= self.options.seconds:
                    break
                if self._over() or (self.sitting and self.sitting.poll()):
                    break
                if self.rehearsal:
                    self.rehearsal.play(seconds)
                if self.live:
                    shown = status_table.table(monitor.seen(), self._title(seconds))
                    self.live.update(self.sitting.shown(shown) if self.sitting else shown, refresh=True)
                elif seconds - printed >= LINE_EVERY:
                    printed = seconds
                    self._say(
                        " | ".join(
                            [
                                status_table.line(monitor.seen(), seconds),
                                *([self.sitting.line()] if self.sitting else []),
                            ]
                        )
                    )
                time.sleep(min(0.2, self.rehearsal.patience(seconds)) if self.rehearsal else 0.2)
        self.live = None

    def _title(self, seconds: float) -> str:
        model = "UNTRAINED demo model" if self.untrained else self.chosen["checkpoint"]
        rehearsed = self.rehearsal.title() if self.rehearsal else ""
        parts = (self.chosen["robot"], f"{self.chosen['drive']} drives", model, f"{seconds:.0f} s", rehearsed)
        return ", ".join(filter(None, parts))

    def _over(self) -> bool:
        """True once the expert has played all its episodes; raises NotRunning for any other node that has ended."""
        process = self.processes.dead()
        if process and process.name == "expert" and process.exit_code == 0:
            self._say("\n".join(process.last_lines()))
            return True
        if process:
            lines = [f"    {line}" for line in process.last_lines()]
            heading = f"{process.how_it_ended()}; {'the end of' if lines else 'see'} {_short(process.log)}"
            raise NotRunning(f"{heading}:\n" + "\n".join(lines) if lines else heading)
        return False

    def _summary(self, monitor, video) -> None:
        if monitor and monitor.seen().statuses:
            # The last figures before the end, so their age counts from the newest of them.
            seen = monitor.seen()
            self.console.print(
                status_table.table(
                    seen, "at the end", now=max(status.at for status in seen.statuses.values())
                )
            )
        if video and video.whole:
            self._say(f"video: {_short(video.file)}")
        if self.bags:
            self._say(self.bags.summary(_short(self.bags.root)))
        if self.sitting:
            self._conclude()

    def _conclude(self) -> None:
        """The film, which is drawn only now so that it costs the run nothing, and what the examination has come to."""
        before = len(self.ended)
        with self.console.status("drawing the film") as status:

            def go_on(share: float) -> bool:
                status.update(f"drawing the film: {share:.0%}; Ctrl-C leaves it as it is by then")
                return len(self.ended) == before

            if drawn := self.sitting.draw(self.folder, go_on):
                self._say(f"video: {_short(self.film)}, {drawn}")
        self._say(self.sitting.examination.summary(), "bold")
        if document := self.sitting.document():
            self._say(document)

    def _warn(self, text: str) -> None:
        self._say(text, "yellow")

    def _say(self, text: str, style: str | None = None) -> None:
        console = self.live.console if self.live else self.console
        console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)


@contextlib.contextmanager
def _signals():
    """A list that is empty until SIGINT, SIGTERM or SIGHUP has come; the former handlers are put back."""
    ended: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, frame: ended.append(number)) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gr1 up",
        description="Start the GR-1 stack. Every --name VALUE may also be written name:=value.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for argument in stack.ARGUMENTS:
        flag = {"nargs": "?", "const": "true"} if argument.choices == stack.TRUE_FALSE else {}
        choices = argument.choices or None
        parser.add_argument(
            f"--{argument.name}", default=argument.default, choices=choices, help=argument.description, **flag
        )
    parser.add_argument("--examine", default="", metavar="WHAT", help=EXAMINE)
    parser.add_argument(
        "--trials",
        type=_trials,
        metavar="N",
        help="examine: end after N trials; the last line is then one JSON document",
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar=fault_injector.FORM.partition(",")[0], help=FAULT
    )
    parser.add_argument(
        "--seconds", type=_duration, help="end after this many seconds, counted from when all nodes are up"
    )
    parser.add_argument("--out", help="folder for logs, parameters and video (default: out/run-<time>)")
    parser.add_argument("--video", help="file for the video (default: video.mp4 in that folder)")
    parser.add_argument("--no-video", action="store_true", help="record no video")
    parser.add_argument("--no-table", action="store_true", help="print lines instead of the live table")
    return parser.parse_args([word for given in argv for word in _ros_style(given)])


def _duration(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"'{word}' is not a number of seconds above 0")
    return seconds


def _trials(word: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,5}", word):
        raise argparse.ArgumentTypeError(f"'{word}' is not a whole number from 1 to 999999")
    return int(word)


def _check_video(options: argparse.Namespace, folder: Path) -> None:
    """Refuses a film that could not be written. The usual one, in the run's own folder, needs no look."""
    if options.no_video or not options.video:
        return
    from gr1_bringup import run_video

    file = Path(options.video).absolute()
    if file.parent != folder and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise stack.SettingError(f"--video: no folder '{file.parent}' that can be written to")
    if file.is_dir():
        raise stack.SettingError(f"--video: '{file}' is a folder; give a file such as video.mp4 in it")
    try:
        run_video.check(file)
    except (ValueError, OSError) as error:
        raise stack.SettingError(
            f"--video: '{file.name}' cannot be written: {error}; use a name that ends in .mp4"
        ) from error


def _make(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise stack.SettingError(f"{option}: no folder '{folder}' can be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise stack.SettingError(f"{option}: nothing can be written into '{folder}'")


def _ros_style(word: str) -> list[str]:
    match = re.fullmatch(r"([a-z_]+):=(.*)", word, re.DOTALL)
    return [f"--{match[1].replace('_', '-')}={match[2]}"] if match else [word]


def _domain() -> str:
    return os.environ.get("ROS_DOMAIN_ID", "0")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
