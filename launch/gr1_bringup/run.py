"""One run of the stack, from its start to its end: nodes, live table, video, extensions.

Each node is a process. Ctrl-C, SIGTERM or a time limit end the run with exit code 0. A node that ends by
itself ends the run with exit code 1; it is named with its last lines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gr1_bringup import call_line, processes, shared_memory, stack, startup, status_table
from gr1_bringup.arguments import UNTRAINED, SettingError
from gr1_bringup.arm_stop import KEY_HINT, ArmStop
from gr1_bringup.bag_summary import BagSummary
from gr1_bringup.extension import ExtensionError, RunContext, RunningExtension
from gr1_bringup.keyboard import Keyboard
from gr1_bringup.startup import DISCOVERY, FIRST_STATUS, NODES, START_LIMIT

LINE_EVERY = 10.0
POLL_EVERY = 0.2
BY_COMMAND = "gr1 record start | success | failure | discard"
BY_PAGE = "the headset (A: start, twice: success; B twice: discard) and the workstation's page"
UNTRAINED_WARNING = (
    "checkpoint 'untrained': a small model with seeded random weights. It is UNTRAINED: its motions and "
    "predictions mean nothing."
)
_DRIVERS = {
    "expert": "the scripted expert drives",
    "teleop": "a person drives",
    "policy": "the policy drives",
}
_ENDS_ITSELF = ("expert", "task_sequence")


class NotRunning(RuntimeError):
    """The stack could not be started, or a node of it has ended by itself."""


@dataclass(frozen=True)
class RunOptions:
    """seconds: the run's length, None: no limit. video: None: no video. table: a live table where there is a
    terminal.
    """

    folder: Path
    video: Path | None
    seconds: float | None
    table: bool


class Run:
    """One run. extensions: those that the user has asked for. Call `run` once."""

    def __init__(
        self,
        chosen: Mapping[str, str],
        options: RunOptions,
        console: Console,
        extensions: Sequence[RunningExtension] = (),
    ):
        self.chosen, self.options, self.console, self.extensions = chosen, options, console, extensions
        self._ended: list[int] = []
        self._live: Live | None = None
        self._up = False
        self._bags = BagSummary(Path(chosen["bags"])) if chosen["record"] == "true" else None
        self._environment = processes.environment(options.folder)
        self._processes = processes.Processes(options.folder, self._environment, self.say)
        self._arm_stop = ArmStop(self._environment.get("ROS_DOMAIN_ID") or "0", chosen["namespace"], self.say)
        self._keyboard: Keyboard | None = None

    def run(self) -> int:
        """The exit code."""
        with _signals(self._arm_stop.end, self._suspend) as self._ended:
            return self._run()

    def say(self, text: str, style: str | None = None) -> None:
        """Prints a line, above the live table if there is one."""
        console = self._live.console if self._live else self.console
        console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)

    def _run(self) -> int:
        self._say_what_runs()
        code, monitor, video = 0, None, None
        try:
            nodes = stack.nodes(self.chosen)
            if (removed := shared_memory.remove_dead_segments()).count:
                self.say(str(removed))
            shared_memory.require_room(nodes, self._environment)
            # Imports take longer than the look for another stack.
            self._processes.prepare(nodes, self.chosen["namespace"])
            monitor, video = self._watchers()
            self._until_alone(monitor)
            if not self._ended:
                self._start(nodes)
                self._until_up(
                    monitor, [FIRST_STATUS[node.name] for node in nodes if node.name in FIRST_STATUS]
                )
            if not self._ended:
                for one in (*filter(None, (video,)), *self.extensions):
                    one.start()
            self._until_ended(monitor)
        except (NotRunning, ExtensionError, SettingError) as error:
            self.say(f"gr1 up: {error}", "red")
            code = 1
        finally:
            # First of all: videos and extensions take their time to close.
            self._arm_stop.end()
            for watcher in (*self.extensions, *filter(None, (video, monitor))):
                watcher.close()
            for process in self._processes.stop():
                self.say(f"{process.name} did not end on SIGINT: {process.how_it_ended()}", "yellow")
        self._summary(monitor, video)
        return code

    def _say_what_runs(self) -> None:
        chosen = self.chosen
        if chosen["checkpoint"] == UNTRAINED:
            self.say(UNTRAINED_WARNING, "bold yellow")
        beside = stack.with_policy(chosen) and chosen["driver"] != "policy"
        parts = [
            _DRIVERS[chosen["driver"]],
            ", one task after another on new tables" if stack.does_tasks_in_turn(chosen) else "",
            ", the policy runs beside and only predicts" if beside else "",
            ", a person may take over" if chosen["takeover"] == "true" else "",
            f"; bags go to {short_path(self._bags.root)}" if self._bags else "",
            f"; logs in {short_path(self.options.folder)}; Ctrl-C ends it",
            f", {KEY_HINT}" if self._has_keyboard() else "",
        ]
        self.say("".join(parts))
        if self._bags and chosen["driver"] != "expert":
            page = f"{BY_PAGE}, or " if stack.with_teleop(chosen) else ""
            self.say(f"episodes begin and end with: {page}{BY_COMMAND}")

    def _watchers(self):
        # The monitor must look for other stacks where the nodes will be.
        os.environ.update(self._environment)
        from gr1_common.stack_monitor import StackMonitor

        monitor, video = StackMonitor("gr1_up", self.chosen["namespace"], self.chosen["instruction"]), None
        self._began = time.monotonic()
        call_line.announce(monitor.node, self.say)
        for extension in self.extensions:
            extension.attach(
                RunContext(self.options.folder, self.options.video, self.say, self._arm_stop.stop), monitor
            )
        if self.options.video and not any(one.makes_video for one in self.extensions):
            from gr1_bringup.run_video import Video

            video = Video(self.options.video, monitor, self._caption(), lambda text: self.say(text, "yellow"))
        monitor.start()
        return monitor, video

    def _caption(self) -> str:
        """What the video says above predicted frames; empty where there are none."""
        if not stack.with_policy(self.chosen):
            return ""
        return "predicted (untrained)" if self.chosen["checkpoint"] == UNTRAINED else "predicted"

    def _start(self, nodes) -> None:
        self._processes.start(nodes=nodes, namespace=self.chosen["namespace"])

    def _until_alone(self, monitor) -> None:
        """Nothing is started beside another stack: two policies would command each other's arm."""
        warned = False
        while not self._ended:
            others, waited = sorted(set(monitor.node_counts()) & set(NODES)), time.monotonic() - self._began
            if not others and waited > DISCOVERY:
                return monitor.clear_statuses()
            if warned and others and waited > startup.GHOST_LIMIT:
                raise NotRunning(startup.another_stack())
            if others and waited > DISCOVERY and not warned:
                warned = True
                there = f"{', '.join(others)}: already running in ROS_DOMAIN_ID {startup.domain()}"
                limit = (
                    f"waiting up to {startup.GHOST_LIMIT:.0f} s for it to end, nothing is started meanwhile"
                )
                self.say(f"{there}; {limit}", "yellow")
            time.sleep(0.05)

    def _until_up(self, monitor, wanted: list[str]) -> None:
        began = time.monotonic()
        while not self._ended and not self._finished():
            statuses = monitor.snapshot().statuses
            missing = [
                name.split(":")[0] for name in wanted if name not in statuses or not statuses[name].values
            ]
            present = monitor.node_counts()
            if any(present[name] > 1 for name in NODES):
                # Both were started at the same moment and could not yet see each other.
                raise NotRunning(startup.another_stack())
            if not missing:
                self.say(f"all nodes are up after {time.monotonic() - began:.1f} s")
                self._up = True
                return self._say_where_the_policy_runs(statuses.get("policy: step"))
            if time.monotonic() - began > START_LIMIT:
                silent = f"no status of {', '.join(missing)} on /diagnostics within {START_LIMIT:.0f} s"
                logs = f"see the logs in {short_path(self.options.folder)}"
                raise NotRunning(f"{silent}; {logs}{startup.why_silent()}")
            time.sleep(0.02)

    def _say_where_the_policy_runs(self, step) -> None:
        if step and (where := step.values.get("runs_on")):
            self.say(
                f"policy: {where}; a GPU is used where PyTorch finds one, precision and threads are set by "
                "--hardware FILE with policy: {precision: ..., threads: ...}"
            )

    def _until_ended(self, monitor) -> None:
        began, printed = time.monotonic(), -LINE_EVERY
        with contextlib.ExitStack() as terminal:
            keyboards = [terminal.enter_context(extension.terminal()) for extension in self.extensions]
            self._keyboard = next((one for one in keyboards if isinstance(one, Keyboard)), None)
            if not self._keyboard and self._has_keyboard():
                self._keyboard = terminal.enter_context(Keyboard(on_space=self._arm_stop.stop, typing=False))
            if self.console.is_terminal and self.options.table:
                self._live = terminal.enter_context(
                    Live(console=self.console, auto_refresh=False, transient=True)
                )
            while not self._ended:
                seconds = time.monotonic() - began
                if self.options.seconds is not None and seconds >= self.options.seconds:
                    break
                if self._finished() or any([extension.poll(seconds) for extension in self.extensions]):
                    break
                if self._live:
                    self._refresh(monitor, seconds)
                elif seconds - printed >= LINE_EVERY:
                    printed = seconds
                    lines = [
                        status_table.line(monitor.snapshot(), seconds),
                        *(one.line() for one in self.extensions),
                    ]
                    self.say(" | ".join(filter(None, lines)))
                time.sleep(min([POLL_EVERY, *(one.next_poll_in(seconds) for one in self.extensions)]))
        self._live = self._keyboard = None

    def _has_keyboard(self) -> bool:
        return bool(self.console.is_terminal and sys.stdin and sys.stdin.isatty())

    def _suspend(self) -> None:
        """Ctrl-Z: the shell gets its terminal when the arm is at rest. The nodes go on, the arm stopped."""
        self._arm_stop.suspend()
        if self._keyboard:
            self._keyboard.suspend()
        self.console.show_cursor(True)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._keyboard:
            self._keyboard.resume()
        self.console.show_cursor(self._live is None)

    def _refresh(self, monitor, seconds: float) -> None:
        table = status_table.table(monitor.snapshot(), self._title(seconds))
        for extension in self.extensions:
            table = extension.decorate(table)
        self._live.update(table, refresh=True)

    def _title(self, seconds: float) -> str:
        chosen = self.chosen
        model = chosen["checkpoint"] or chosen["server"]
        model = "UNTRAINED model" if model == UNTRAINED else model
        words = [chosen["robot"], f"driver {chosen['driver']}", model, f"{seconds:.0f} s"]
        return ", ".join(filter(None, [*words, *(one.title() for one in self.extensions)]))

    def _finished(self) -> bool:
        """True once all episodes are done; raises NotRunning for any other node that has ended."""
        process = self._processes.dead()
        if process and process.name in _ENDS_ITSELF and process.exit_code == 0:
            self.say("\n".join(process.last_lines()))
            return True
        if process:
            lines = [f"    {line}" for line in process.last_lines()]
            heading = (
                f"{process.how_it_ended()}; {'the end of' if lines else 'see'} {short_path(process.log)}"
            )
            raise NotRunning(f"{heading}:\n" + "\n".join(lines) if lines else heading)
        return False

    def _summary(self, monitor, video) -> None:
        # A stack that never was up has no figures: they would hide the error above them.
        if self._up and monitor and monitor.snapshot().statuses:
            # These are the last statuses before the end, so their age counts from the newest of them.
            seen = monitor.snapshot()
            newest = max(status.at for status in seen.statuses.values())
            self.console.print(status_table.table(seen, "at the end", now=newest))
        if video and video.whole:
            self.say(f"video: {short_path(video.file)}")
        if self._bags:
            self.say(self._bags.summary(short_path(self._bags.root)))
        before = len(self._ended)
        for extension in self.extensions:
            extension.conclude(lambda: len(self._ended) > before)


@contextlib.contextmanager
def _signals(end: Callable[[], None], suspend: Callable[[], None]):
    """A list that is empty until SIGINT, SIGTERM or SIGHUP has come; the former handlers are put back.

    end: called at once for each of them. suspend: called for Ctrl-Z. A SIGHUP that was ignored before stays
    ignored: under nohup the run outlives its terminal.
    """
    ended: list[int] = []

    def on_end(number, frame) -> None:
        ended.append(number)
        end()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_end) for number in numbers}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, lambda number, frame: suspend())
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def short_path(path: Path) -> str:
    """Relative to the working folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
