"""Processes whose wall clock can be set and whose network can be cut, by a preloaded library (shim.c)."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
_FORMAT = "=qqq"


class ShimError(RuntimeError):
    """The library cannot be built here."""


def build(folder: Path) -> Path:
    """Compiles the library. Raises ShimError without a C compiler."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if not compiler:
        raise ShimError("no C compiler (cc, gcc or clang) is installed")
    library = _preloadable(folder) / "shim.so"
    done = subprocess.run(
        [compiler, "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ShimError(
            f"{SOURCE.name} does not compile with {compiler}: "
            f"{(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return library


def _preloadable(folder: Path) -> Path:
    """`folder`, or a temporary one: LD_PRELOAD separates its entries by spaces and colons."""
    return Path(tempfile.mkdtemp(prefix="gr1_shim_")) if re.search(r"[\s:]", str(folder)) else folder


class Switch:
    """What the processes with `environment` are made to see; it takes effect at once."""

    def __init__(self, library: Path, file: Path):
        file.write_bytes(bytes(struct.calcsize(_FORMAT)))
        descriptor = os.open(file, os.O_RDWR)
        self._memory = mmap.mmap(descriptor, struct.calcsize(_FORMAT))
        os.close(descriptor)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "GR1_FAULTS": str(file)}
        self._offset, self._cut, self._slept = 0, False, 0

    def jump(self, seconds: float) -> None:
        """Sets the wall clock by so much, forwards or backwards."""
        self._offset += round(seconds * 1e9)
        self._write()

    def cut(self, cut: bool) -> None:
        """Nothing gets out of these processes or into them by the network."""
        self._cut = cut
        self._write()

    def sleep(self, seconds: float) -> None:
        """The computer has been suspended for so long: only CLOCK_BOOTTIME has gone on."""
        self._slept += round(seconds * 1e9)
        self._write()

    def _write(self) -> None:
        self._memory[:] = struct.pack(_FORMAT, self._offset, self._cut, self._slept)
