"""What two processes must have in common to give the same results: versions, source, files.

`collect_facts` is sent to workers as code, so that it also runs where gr1_core is missing or another one: it
is complete in itself.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping

ABSENT = "absent"


def collect_facts(paths: list[str]) -> dict:
    """{"host", "source", "versions": package -> version, "seen": path -> digest or ABSENT} of this process.

    The digest is of the sorted names in a folder, or of a file's size. gr1_core's version carries a digest of
    its source, in a worker that has run something already: of the source that it has loaded.
    """
    import hashlib
    import os
    import platform
    import sys
    from importlib import metadata, util

    def version(name):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "absent"

    def source(name):
        spec = util.find_spec(name)
        if spec is None or not spec.origin:
            return "absent"
        digest = hashlib.sha256()
        for folder, folders, names in sorted(os.walk(os.path.dirname(spec.origin))):
            folders.sort()
            for one in sorted(names):
                if one.endswith((".py", ".yaml")):
                    with open(os.path.join(folder, one), "rb") as file:
                        digest.update(one.encode() + file.read())
        return digest.hexdigest()[:8]

    def seen(path):
        try:
            what = sorted(os.listdir(path)) if os.path.isdir(path) else os.stat(path).st_size
        except OSError:
            return "absent"
        return hashlib.sha256(repr(what).encode()).hexdigest()

    # Those that decide about bytes of a dataset, or about an episode's course.
    names = ("torch", "numpy", "scipy", "mujoco", "pybullet", "av", "pyarrow", "simplejpeg")
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    code = getattr(sys.modules.get("gr1_core.cluster_worker"), "SOURCE", "") or source("gr1_core")
    versions["gr1_core"] = code if code == "absent" else f"{version('gr1_core')} (source {code})"
    versions |= {name: version(name) for name in (*names, "opencv-python-headless")}
    return {
        "host": platform.node(),
        "source": code,
        "versions": versions,
        "seen": {path: seen(path) for path in paths},
    }


def by_value(function: Callable) -> Callable:
    """A copy of a function that is pickled with its code instead of its name; it must import what it uses."""
    copy = types.FunctionType(function.__code__, {}, function.__name__)
    copy.__module__ = "__main__"
    return copy


def differing_versions(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs, with the remedy; "" for the same versions."""
    different = [
        f"{name} {theirs.get(name)} there, {version} here"
        for name, version in mine.items()
        if theirs.get(name) != version
    ]
    if not different:
        return ""
    return f"{'; '.join(different)}: install the same there and restart the worker, or results would differ"
