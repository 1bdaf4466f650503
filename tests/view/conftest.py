import pytest

pytest.importorskip("rerun", reason='needs `pip install "gr1_core[view]"`')
