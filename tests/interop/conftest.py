"""The hub is out of reach and lerobot's caches lie in a temporary folder, set before lerobot is imported."""

import os
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="lerobot-cache-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": _CACHE.name,
    "HF_DATASETS_CACHE": _CACHE.name,
    "HF_LEROBOT_HOME": _CACHE.name,
}
