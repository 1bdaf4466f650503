"""The options --workers and --cluster, which several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gr1_core.commands.arguments import count

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster


class ClusterMissing(ValueError):
    """The packages of a cluster are not installed."""


def add_workers_options(
    parser: argparse.ArgumentParser, default: int, what: str, metavar: str = "W", shown: str = ""
) -> None:
    """Adds --workers and --cluster, of which only one may be given. shown: the default in words."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--workers",
        type=count,
        default=str(default),  # argparse takes a given value that is the default itself as not given
        metavar=metavar,
        help=f"{what} (default: {shown or default})",
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="the workers of a Dask cluster instead: tcp://HOST:PORT or scheduler file of its scheduler, or "
        "local:N for N workers of this machine",
    )


@contextmanager
def open_cluster(arguments: argparse.Namespace, reads: Iterable[Path] = ()) -> Iterator[Cluster | None]:
    """The cluster of --cluster; None without the option. reads: what its workers must see.

    Raises ClusterMissing, ClusterError.
    """
    if not arguments.cluster:
        yield None
        return
    try:
        from gr1_core.cluster import Cluster
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("dask", "distributed"):
            raise
        raise ClusterMissing(
            "--cluster needs the Python package distributed (Dask), which is not installed here: run "
            "`pip install 'gr1_core[cluster]'`"
        ) from None
    with Cluster(arguments.cluster) as cluster:
        cluster.require(reads)
        yield cluster
