"""A few random damages to small datasets; `python -m tests.data.mutations --cases 1000` tries many."""

from . import mutations


def test_random_damage_is_named_and_never_a_traceback(tmp_path):
    originals = mutations.make_originals(tmp_path, ("lerobot images", "lerobot v2.1", "yaml"))
    cases = [mutations.run_case(seed, originals) for seed in range(12)]
    assert [case for case in cases if case["outcome"] in mutations.FAULTS] == []
    assert len({case["outcome"] for case in cases}) > 1
