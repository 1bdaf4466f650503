"""What can be seen of the policy's settings before any node runs. Each check raises SettingError."""

from __future__ import annotations

from pathlib import Path

from gr1_bringup.arguments import UNTRAINED, SettingError
from gr1_core import Rig, pretrained
from gr1_core.eval import verdict
from gr1_core.rig import RigError


def checkpoint_folder(checkpoint: str) -> Path:
    """The folder of a checkpoint's name or path, which must hold a configuration and weights."""
    try:
        return pretrained.require(checkpoint)
    except pretrained.CheckpointMissing as error:
        raise SettingError(f"checkpoint: {error}") from error


def check_server(chosen: dict[str, str]) -> None:
    """Refuses what contradicts a policy on another machine; its access file's path becomes absolute."""
    if not chosen["server"]:
        if chosen["server_access"]:
            raise SettingError(
                f"server_access: '{chosen['server_access']}' is for a server; add server, or leave it out"
            )
        return
    if chosen["checkpoint"]:
        raise SettingError(
            f"checkpoint: '{chosen['checkpoint']}' and server '{chosen['server']}': the server has a "
            "checkpoint of its own; choose one of the two"
        )
    if chosen["server_access"]:
        chosen["server_access"] = str(Path(chosen["server_access"]).expanduser().absolute())


def check_checkpoint(checkpoint: str, rig: Rig) -> None:
    """Refuses what can be seen of a checkpoint without torch. The policy node checks configuration and
    weights.
    """
    if checkpoint in ("", UNTRAINED):
        return
    file = Path(checkpoint) / "rig.yaml"
    if not file.is_file():
        raise SettingError(f"checkpoint: '{checkpoint}' is not a whole checkpoint: rig.yaml is missing")
    try:
        rig.require_same(Rig.load(file), f"checkpoint {checkpoint}")
    except (RigError, OSError) as error:
        raise SettingError(f"checkpoint: {error}") from error


def check_replay(checkpoint: str) -> None:
    """Refuses a checkpoint that failed its replay (`gr1 replay`)."""
    try:
        why = "" if checkpoint in ("", UNTRAINED) else verdict.refusal(checkpoint)
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        raise SettingError(f"checkpoint: {why}; ignore_replay:=true lets it move all the same")
