"""The progress bar of a conversion: bytes of the source, MB/s, remaining time, skipped units."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars


class Progress:
    """A bar on stderr. Without a terminal, or with show False, only warnings. A context manager."""

    def __init__(self, what: str, total: int, show: bool):
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(
            *columns,
            TextColumn("{task.fields[skipped]}"),
            console=console,
            disable=not (show and console.is_terminal),
        )
        self._task = self._bars.add_task(what, total=total, skipped="")
        self._skipped = 0

    def advance(self, size: int) -> None:
        self._bars.advance(self._task, size)

    def skip(self, defect: str) -> None:
        """Counts and prints a skipped unit."""
        self._skipped += 1
        self._bars.update(self._task, skipped=f"{self._skipped} skipped")
        self._bars.console.print(
            f"skipped: {defect}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_) -> None:
        self._bars.stop()
