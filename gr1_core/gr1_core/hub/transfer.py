"""Copies checkpoints and datasets from and to the hub by huggingface_hub. What was interrupted continues."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from gr1_core.hub.reference import DATASET, MODEL, HubError, Reference

CHECKPOINT = ("*.safetensors", "*.json", "*.jsonl", "*.yaml", "merges.txt", "README.md")
"""Files of a checkpoint's folder, no folders: a run's state and logs stay where they are."""
DATASET_FILES = ("meta/**", "data/**", "videos/**", "README.md")
DATASET_TAG = "v3.0"
"""The tag by which LeRobot finds the revision with its layout."""
PARTIAL = ".partial"
_SIGN_IN = "sign in by `hf auth login`, or set HF_TOKEN to a token that may {} it"


def fetch(reference: Reference) -> Path:
    """The local copy of a repository in the hub's cache ($HF_HOME). Without a network the cached one.

    Raises HubError.
    """
    with _named(reference, "read"):
        return Path(
            snapshot_download(
                reference.repository,
                repo_type=reference.kind,
                revision=reference.revision,
                allow_patterns=_patterns(reference.kind),
                endpoint=_endpoint(),
            )
        )


def pull(reference: Reference, out: Path, check: Callable[[Path], object]) -> Path:
    """Copies a repository to the folder `out`, which must not exist -> it.

    Until it is complete and `check` accepts it, it is `<out>.partial`; the same command continues from there.
    Raises HubError, and what `check` raises.
    """
    if out.exists():
        raise HubError(f"{out} exists already: choose another --out, or move it away")
    partial = out.with_name(out.name + PARTIAL)
    with _named(reference, "read"):
        snapshot_download(
            reference.repository,
            repo_type=reference.kind,
            revision=reference.revision,
            allow_patterns=_patterns(reference.kind),
            local_dir=partial,
            endpoint=_endpoint(),
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the hub's notes on how far it was
    check(partial)
    partial.rename(out)
    return out


def push(reference: Reference, folder: Path, card: str, *, private: bool = False, message: str = "") -> str:
    """Uploads a folder's files as one commit -> its address. The repository is made if there is none.

    card: README.md, where the folder has none. A repeated call sends only what the hub does not have yet.
    Raises HubError.
    """
    api = HfApi(_endpoint())
    with _named(reference, "write"), tempfile.TemporaryDirectory() as beside:
        api.create_repo(
            reference.repository, repo_type=reference.kind, private=private or None, exist_ok=True
        )
        if not (folder / "README.md").is_file():
            (Path(beside) / "README.md").write_text(card, encoding="utf-8")
            # First, so that the page is never without it.
            _upload(api, reference, Path(beside), ("README.md",), message or "Card")
        message = message or f"gr1 push {folder.name}"
        done = _upload(api, reference, folder, _patterns(reference.kind), message)
        if reference.kind == DATASET:
            api.create_tag(
                reference.repository,
                tag=DATASET_TAG,
                revision=done.oid,
                repo_type=DATASET,
                exist_ok=True,
            )
    return f"{_endpoint()}/{'datasets/' if reference.kind == DATASET else ''}{reference.repository}"


def kind_of(reference: Reference) -> str:
    """Whether the repository is a model or a dataset, where the reference does not say. Raises HubError."""
    if reference.kind:
        return reference.kind
    api = HfApi(_endpoint())
    with _named(reference, "read"):
        try:
            api.repo_info(reference.repository, repo_type=MODEL, revision=reference.revision)
            return MODEL
        except RepositoryNotFoundError:
            api.repo_info(reference.repository, repo_type=DATASET, revision=reference.revision)
            return DATASET


def _upload(api: HfApi, reference: Reference, folder: Path, patterns: Sequence[str], message: str):
    return api.upload_folder(
        repo_id=reference.repository,
        repo_type=reference.kind,
        revision=reference.revision,
        folder_path=folder,
        allow_patterns=list(patterns),
        ignore_patterns=[] if reference.kind == DATASET else ["*/**"],
        commit_message=message,
    )


def _endpoint() -> str:
    """The hub's address: $HF_ENDPOINT, or the library's."""
    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def _patterns(kind: str | None) -> list[str]:
    return list(DATASET_FILES if kind == DATASET else CHECKPOINT)


@contextmanager
def _named(reference: Reference, verb: str) -> Iterator[None]:
    """The hub's exceptions as HubError, in one line with the remedy."""
    try:
        yield
    except RepositoryNotFoundError as error:
        raise HubError(
            f"there is no {reference} on {_endpoint()}, or you may not {verb} it: check the name, or "
            + _SIGN_IN.format(verb)
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(f"{reference}: no revision '{reference.revision}' there") from error
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{reference} is not on this computer and {_endpoint()} cannot be reached: connect to the "
            "network, or give a folder"
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        said = " ".join(str(getattr(error, "server_message", None) or "").split())
        remedy = _SIGN_IN.format(verb) if status in (401, 403) else "try again later"
        raise HubError(
            f"{reference}: {_endpoint()} answered {status}{said and f' ({said})'}: {remedy}"
        ) from error
    except (*_network_errors(), OSError) as error:
        why = str(error) or type(error).__name__
        raise HubError(
            f"{reference}: the connection to {_endpoint()} failed ({why}): the same command continues there"
        ) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """Of the HTTP library behind huggingface_hub, which is another one in each of its major versions; that of
    the oldest, requests, raises OSErrors.
    """
    names = [name for name in ("httpx2", "httpx") if importlib.util.find_spec(name)]
    return tuple(importlib.import_module(name).HTTPError for name in names)
