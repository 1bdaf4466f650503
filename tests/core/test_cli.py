"""The `gr1` command."""

import json
import subprocess
import sys

import pytest

from gr1_core.bench.policy import run
from gr1_core.cli import main


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_help_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'timm', 'mujoco', 'rclpy', 'cv2'}"
    code = f"import sys, gr1_core.cli\ntry: gr1_core.cli.main(['--help'])\nexcept SystemExit: print(sorted({heavy} & set(sys.modules)))"
    assert python(code).splitlines()[-1] == "[]"


EVERY_MODULE = """
import importlib, pkgutil, sys, gr1_core
for module in pkgutil.walk_packages(gr1_core.__path__, "gr1_core."):
    importlib.import_module(module.name)
print([name for name in sys.modules if name.startswith(("rclpy", "sensor_msgs"))])
"""


def test_the_core_never_imports_ros():
    assert python(EVERY_MODULE).splitlines()[-1] == "[]"


@pytest.mark.slow
def test_the_bench_ends_with_one_json_document(capsys):
    run("demo", None, "calvin", threads=2, rounds=1)
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(document) == {
        "config", "threads", "plain_ms", "fp32_ms", "bf16_ms", "fp32_ratio", "bf16_ratio", "fp32_max_abs_diff", "bf16_max_abs_diff",
        "action_std", "gflop_plain", "gflop_step", "peak_gflops_fp32", "peak_gflops_bf16",
    }  # fmt: skip
    assert document["fp32_max_abs_diff"] < 3e-5 and document["gflop_step"] < document["gflop_plain"] / 3


def test_a_missing_file_is_one_line_and_exit_code_1(capsys, tmp_path):
    assert main(["bench", "policy", "--checkpoint", str(tmp_path / "nowhere")]) == 1
    assert (
        capsys.readouterr().err
        == f"gr1: no checkpoint at {tmp_path / 'nowhere'}: the folder does not exist\n"
    )
