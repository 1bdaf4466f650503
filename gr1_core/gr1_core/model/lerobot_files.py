"""What makes a checkpoint folder a policy folder of LeRobot, too: the key `type` in config.json, and the
files of two processors that change no number. integrations/lerobot_policy_gr1 is the policy that reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CONFIG = "config.json"
_TYPE = "gr1"
_IDENTITY = {
    "features": {},
    "norm_map": dict.fromkeys(("VISUAL", "STATE", "ACTION"), "IDENTITY"),
}
_DEVICE = ("device_processor", {"device": "cpu"})
_PROCESSORS = {
    "policy_preprocessor": (
        ("rename_observations_processor", {"rename_map": {}}),
        ("to_batch_processor", {}),
        _DEVICE,
        ("normalizer_processor", _IDENTITY),
    ),
    "policy_postprocessor": (("unnormalizer_processor", _IDENTITY), _DEVICE),
}
PROCESSOR_FILES = tuple(f"{name}.json" for name in _PROCESSORS)


def files(config: Mapping) -> dict[str, dict]:
    """The JSON files of a checkpoint with this configuration (`GR1Config.to_dict`), by name."""
    processors = {
        f"{name}.json": {
            "name": name,
            "steps": [{"registry_name": step, "config": settings} for step, settings in steps],
        }
        for name, steps in _PROCESSORS.items()
    }
    return {CONFIG: {"type": _TYPE} | dict(config)} | processors


def without_lerobot(raw, fields: Sequence[str]):
    """The content of a config.json without what LeRobot adds: where `type` is ours, all that is none of
    `fields`.
    """
    if not isinstance(raw, dict) or raw.get("type") != _TYPE:
        return raw
    return {key: value for key, value in raw.items() if key in fields}
