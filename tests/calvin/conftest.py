import sys

import pytest

from tests.calvin.stand_in import make_checkout


@pytest.fixture
def calvin_root(tmp_path, monkeypatch):
    """A stand-in of the checkout, with the packages that it needs, and a cache folder of its own."""
    root = make_checkout(tmp_path / "calvin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CALVIN_ROOT", raising=False)
    monkeypatch.syspath_prepend(str(root / "stubs"))
    before = set(sys.modules)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_stand_in(name)}
    yield root
    for name in set(sys.modules) - before | {name for name in sys.modules if _is_stand_in(name)}:
        if _is_stand_in(name):
            del sys.modules[name]
    sys.modules.update(kept)


def _is_stand_in(name: str) -> bool:
    return name.split(".")[0] in ("calvin_env", "hydra", "omegaconf", "pybullet")
