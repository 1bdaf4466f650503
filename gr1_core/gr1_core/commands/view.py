"""`gr1 view`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path

from gr1_core.commands.arguments import INSTALL_ROS, Mistake, Parser, count

HELP = "show the live stack, a bag, a dataset or an evaluation in Rerun: images, arm, curves, states"
LIVE, PORT = "live", 9090


class _Closed(Exception):
    """The viewer's window was closed while the data were still read."""


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 view",
        description=f"{HELP}. Opens a window; on a computer without a screen use --serve or --save.",
        epilog='Rerun is installed with `pip install "gr1_core[view]"`.',
    )
    made.add_argument(
        "what",
        nargs="?",
        default=LIVE,
        metavar="SOURCE",
        help="live: the running stack (default); or the folder of a bag, of a dataset (also "
        "hf://owner/name), or of an evaluation (--out of `gr1 evaluate sim` or `gr1 evaluate calvin`)",
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument("--serve", action="store_true", help="a page for browsers instead of a window")
    where.add_argument("--save", type=Path, metavar="FILE.rrd", help="a file instead, for `rerun FILE.rrd`")
    made.add_argument(
        "--host",
        default="",
        metavar="ADDRESS",
        help="with --serve: address to listen on; whoever reaches it sees everything (default: this "
        "computer alone)",
    )
    made.add_argument(
        "--port",
        type=_port,
        default=PORT,
        metavar="N",
        help=f"with --serve: port; 0: a free one (default: {PORT})",
    )
    made.add_argument(
        "--rate",
        type=count,
        default=20,
        metavar="HZ",
        help="images and states a second, at most (default: 20)",
    )
    made.add_argument(
        "--jpeg-quality",
        type=_quality,
        default=0,
        metavar="N",
        help="encode images anew, for a small file: 75, for example (default: as they are recorded)",
    )
    made.add_argument(
        "--episodes", default="", metavar="A,B-C", help="of a dataset (default: the first three)"
    )
    made.add_argument("--urdf", type=Path, metavar="FILE", help="the arm's model, where the source has none")
    made.add_argument("--namespace", default="", help="live: the stack's ROS namespace")
    made.add_argument(
        "--wait",
        type=float,
        default=5.0,
        metavar="S",
        help="live: how long to look for a stack, s (default: 5)",
    )
    made.add_argument(
        "--seconds", type=float, metavar="S", help="live: end after this time (default: Ctrl-C)"
    )
    return made


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    _check(arguments)
    from gr1_core.view import recording

    recording.require_rerun()
    kind = LIVE if arguments.what == LIVE else _kind(arguments.what)
    _refuse_others_options(arguments, kind)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: _interrupt())
    try:
        return {LIVE: _live, "bag": _bag, "dataset": _dataset, "evaluation": _evaluation}[kind](arguments)
    except KeyboardInterrupt:
        return 130 if kind != LIVE else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _check(arguments: argparse.Namespace) -> None:
    if arguments.host and not arguments.serve:
        raise Mistake("--host is the address of --serve: give both")
    if (file := arguments.save) is not None:
        if file.suffix != ".rrd":
            raise Mistake(f"--save: '{file}' does not end in .rrd, Rerun's format")
        if not file.parent.is_dir():
            raise Mistake(f"--save: there is no folder '{file.parent}': make it, or choose another one")


def _refuse_others_options(arguments: argparse.Namespace, kind: str) -> None:
    for name, kinds in (
        ("episodes", ("dataset",)),
        ("urdf", ("bag", "dataset")),
        ("namespace", (LIVE,)),
        ("seconds", (LIVE,)),
    ):
        if getattr(arguments, name) and kind not in kinds:
            raise Mistake(f"--{name} is not for {'the live stack' if kind == LIVE else f'a {kind}'}")


def _kind(what: str) -> str:
    """bag, dataset or evaluation. Raises Mistake, which says what the folder is instead."""
    from gr1_core.suggestions import did_you_mean, neighbours

    path = Path(what)
    if what.startswith("hf://"):
        return "dataset"
    if not path.exists():
        hint = did_you_mean(what, [*neighbours(path), LIVE])
        raise Mistake(f"no folder '{path}'{hint or ': give a bag, a dataset, an evaluation, or live'}")
    if path.is_file():
        raise Mistake(f"'{path}' is a file: give the folder that it is in")
    if (path / "meta" / "info.json").is_file():
        return "dataset"
    if (path / "metadata.yaml").exists() or any(path.glob("*.mcap")):
        return "bag"
    if (path / "results.json").is_file():
        return "evaluation"
    raise Mistake(f"'{path}' is neither a bag, a dataset nor an evaluation: {_instead(path)}")


def _instead(path: Path) -> str:
    below = sorted(one.parent.name for one in path.glob("*/metadata.yaml"))
    if below:
        return f"it holds {len(below)} bags: give one of them, such as {path / below[0]}"
    if (path / "model.safetensors").is_file():
        return "it is a checkpoint; `gr1 evaluate sim` and `gr1 replay` show what it does"
    names = sorted(one.name for one in path.iterdir())
    if not names:
        return "it is empty"
    more = " and more" if len(names) > 4 else ""
    return f"it holds {', '.join(names[:4])}{more}, but no metadata.yaml, meta/info.json or results.json"


def _live(arguments: argparse.Namespace) -> int:
    from gr1_core.view import live
    from gr1_core.view.messages import StackLog
    from gr1_core.view.recording import Recording, ViewError

    if (source := live.load()) is None:
        raise ViewError(f"the live stack comes with the ROS 2 packages, not installed here: {INSTALL_ROS}")
    stack = source.listen(arguments.namespace, arguments.wait)
    try:
        for topic, why in stack.missing.items():
            _warn(f"{topic} {why}")
        to = Recording("live stack", arguments.jpeg_quality, live=True)
        with _shown(arguments, to, stack.groups, following=True) as viewer:
            print("the live stack is shown until Ctrl-C", flush=True)
            log = StackLog(to, arguments.rate)
            for topic, why in stack.missing.items():
                to.at(0.0)
                to.text(f"{topic} {why}", "WARN")
            most = arguments.seconds if arguments.seconds is not None else float("inf")
            with contextlib.suppress(KeyboardInterrupt):
                stack.pass_to(log, lambda seconds: seconds < most and (viewer is None or viewer.open))
            for topic, why in log.refused.items():
                _warn(f"{topic} is not shown: {why}")
    finally:
        stack.close()
    return 0


def _bag(arguments: argparse.Namespace) -> int:
    from gr1_core.data.bag import Bag
    from gr1_core.view import bag as bags
    from gr1_core.view.recording import Recording

    bag = Bag(arguments.what)
    to = Recording(bag.name, arguments.jpeg_quality)
    bags.check(bag)
    with _shown(arguments, to, bags.groups_of(bag)) as viewer, _progress(viewer) as progress:
        refused = bags.show(bag, to, arguments.rate, arguments.urdf, progress)
        for topic, why in refused.items():
            _warn(f"{topic} is not shown: {why}")
        _wait(to, viewer)
    return 0


def _dataset(arguments: argparse.Namespace) -> int:
    from gr1_core.data.dataset import Dataset
    from gr1_core.view import dataset as datasets
    from gr1_core.view.recording import Recording

    data = Dataset(arguments.what)
    most = len(data.episodes)
    episodes = datasets.chosen_episodes(data, arguments.episodes or f"0-{min(most, 3) - 1}")
    if not arguments.episodes and most > len(episodes):
        print(f"the first {len(episodes)} of {most} episodes; --episodes chooses others")
    to = Recording(data.root.name, arguments.jpeg_quality)
    with _shown(arguments, to, datasets.groups_of(data)) as viewer, _progress(viewer) as progress:
        datasets.show(data, episodes, to, arguments.urdf, progress)
        _wait(to, viewer)
    return 0


def _evaluation(arguments: argparse.Namespace) -> int:
    from gr1_core.view import evaluation
    from gr1_core.view.recording import Recording

    results = evaluation.Results(Path(arguments.what))
    to = Recording(results.folder.name, arguments.jpeg_quality)
    with _shown(arguments, to, results.groups()) as viewer, _progress(viewer) as progress:
        evaluation.show(results, to, progress)
        _wait(to, viewer)
    return 0


@contextlib.contextmanager
def _shown(arguments: argparse.Namespace, to, groups, following: bool = False):
    """The viewer that shows `to`; None for a file."""
    from gr1_core.view import viewer
    from gr1_core.view.layout import blueprint

    made = blueprint(groups, following)
    if arguments.save is not None:
        to.stream.save(arguments.save, default_blueprint=made)
        yield None
        to.stream.disconnect()
        size = arguments.save.stat().st_size * 1e-6
        print(f"{arguments.save}: {size:.1f} MB; `rerun {arguments.save}` shows it")
    elif arguments.serve:
        host = arguments.host or viewer.LOOPBACK
        with viewer.page(to, made, host, arguments.port) as running:
            print(f"open {running.url}", flush=True)
            yield running
    else:
        with viewer.window(to, made) as running:
            yield running


@contextlib.contextmanager
def _progress(viewer):
    """Takes the share that is read. Ends the reading when the viewer has ended."""
    from gr1_core.progress import ProgressBar

    def show(share: float) -> None:
        if viewer is not None and not viewer.open:
            raise _Closed
        bar.advance(to=round(100 * min(share, 1.0)))

    with ProgressBar("reading, percent", 100) as bar, contextlib.suppress(_Closed):
        yield show


def _wait(to, viewer) -> None:
    """Until the viewer is closed, or Ctrl-C."""
    to.stream.flush()
    if viewer is None:
        return
    print("complete; Ctrl-C ends it", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while viewer.open:
            time.sleep(0.2)


def _warn(text: str) -> None:
    print(f"gr1: warning: {text}", file=sys.stderr, flush=True)


def _quality(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a JPEG quality, 1 to 100")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 0 to 65535")
    return int(text)
