"""The `gr1` command: finds and lists the commands of all installed packages, and names what is wrong with the
words.
"""

import argparse
import json
import subprocess
import sys
from importlib import import_module, metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from gr1_core import cli, commands, renamed
from gr1_core.bench.policy import run
from gr1_core.cli import main
from gr1_core.commands.arguments import Parser
from gr1_core.model.packed_linear import can_pack


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_help_lists_all_commands_and_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'timm', 'mujoco', 'rclpy', 'cv2', 'numpy', 'rich'}"
    code = (
        "import sys, gr1_core.cli\n"
        f"assert gr1_core.cli.main(['--help']) == 0\nprint(sorted({heavy} & set(sys.modules)))"
    )
    lines = python(code).splitlines()
    assert lines[-1] == "[]"
    for name in cli.command_modules():
        assert any(line.startswith(f"  {name} ") for line in lines)


def test_every_module_of_the_commands_folder_is_a_command():
    files = {path.stem for path in Path(commands.__file__).parent.glob("*.py")}
    shared = {name for name in files if name.startswith("_")} | {"arguments"}
    assert {name.replace(" ", "_").replace("-", "_") for name in cli.OWN} == files - shared


@pytest.mark.parametrize("name", cli.OWN)
def test_a_command_has_a_line_of_help_and_a_parser_of_its_name(name):
    module = import_module(cli.command_modules()[name])
    assert 10 < len(module.HELP) <= 110 and "\n" not in module.HELP
    assert isinstance(module.parser(), Parser) and module.parser().prog == f"gr1 {name}"


def test_a_part_of_a_command_lists_those_that_begin_with_it(capsys):
    assert main(["bags", "--help"]) == 0
    listed = capsys.readouterr().out
    assert "bags verify" in listed and "evaluate sim" not in listed
    assert main(["bags"]) == 2 and "bags verify" in capsys.readouterr().err
    assert main([]) == 2 and "evaluate sim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bagz", "list"], "no command `bagz list`, did you mean `gr1 bags list`?"),
        (["evaluate", "simm"], "no command `evaluate simm`, did you mean `gr1 evaluate sim`?"),
        (["bags", "xyz"], "no command `bags xyz`; there are bags exclude, bags keep, bags list"),
        (["qqqq"], "no command `qqqq`; `gr1 --help` lists all"),
        (["--versoin"], "no command `--versoin`"),
    ],
)
def test_wrong_words_are_named_with_the_nearest_command(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def packages(monkeypatch):
    """Sets which entry points the installed packages have: {name: module}."""

    def install(**points):
        points = [EntryPoint(name, module, cli.GROUP) for name, module in points.items()]
        monkeypatch.setattr(cli.metadata, "entry_points", lambda group: points if group == cli.GROUP else [])

    return install


@pytest.mark.parametrize("words", [["up", "--robot", "sim"], ["check", "rig", "--yes"], ["bench", "record"]])
def test_without_the_ros_packages_their_commands_are_named_with_the_remedy(words, packages, capsys):
    packages()
    assert main(words) == 1
    command = " ".join(word for word in words[:2] if word in "up check rig bench record".split())
    error = capsys.readouterr().err
    assert f"`gr1 {command}` comes with the ROS 2 packages" in error and "run `make setup`" in error


def test_a_command_of_another_package_is_listed_and_run(packages, monkeypatch, capsys):
    monkeypatch.setitem(
        sys.modules, "another", argparse.Namespace(HELP="greets", main=lambda argv: len(argv))
    )
    packages(**{"say.hello": "another"})
    assert main(["say", "hello", "a", "--b", "c"]) == 3
    assert main(["--help"]) == 0 and "  say hello  " in capsys.readouterr().out


def test_a_missing_python_package_is_named_with_the_remedy(packages, monkeypatch, tmp_path, capsys):
    (tmp_path / "half_installed.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    packages(up="half_installed")
    assert main(["up"]) == 1
    assert "needs the Python package not_there_at_all" in capsys.readouterr().err
    assert (
        main(["--help"]) == 0
        and "cannot be loaded: No module named 'not_there_at_all'" in capsys.readouterr().out
    )


def test_a_command_that_two_packages_claim_is_refused(monkeypatch, capsys):
    points = [EntryPoint("up", module, cli.GROUP) for module in ("one.up", "two.up")]
    monkeypatch.setattr(cli.metadata, "entry_points", lambda group: points)
    assert main(["up"]) == 1
    assert "`gr1 up` is in one.up and in two.up: uninstall one" in capsys.readouterr().err


RENAMED = [(command, *names) for command, options in renamed.OPTIONS.items() for names in options.items()]


@pytest.mark.parametrize("form", ["{} 3", "{}=3", "{}"])
@pytest.mark.parametrize(("command", "old", "new"), RENAMED)
def test_an_old_option_is_refused_with_its_new_name(command, old, new, form, capsys):
    assert main([*command.split(), *form.format(old).split()]) == 2
    assert f"{old} is now {new}" in capsys.readouterr().err


EVERY_MODULE = """
import importlib, pkgutil, sys, gr1_core
for module in pkgutil.walk_packages(gr1_core.__path__, "gr1_core."):
    importlib.import_module(module.name)
print([name for name in sys.modules if name.startswith(("rclpy", "sensor_msgs"))])
"""


# 9 s of imports. The import contract of `make lint` covers every import that is written as one.
@pytest.mark.slow
def test_the_core_never_imports_ros():
    assert python(EVERY_MODULE).splitlines()[-1] == "[]"


@pytest.mark.slow
def test_the_bench_ends_with_one_json_document(capsys):
    run("demo", None, "calvin", threads=2, rounds=1)
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    precisions = ["fp32", "bf16"] + ["int8"] * can_pack(torch.int8)
    figures = ("ms", "ratio", "max_abs_diff", "error_of_std")
    assert set(document) == {
        "config",
        "device",
        "threads",
        "plain_ms",
        "action_std",
        "gflop_plain",
        "gflop_step",
        "peak_gflops_fp32",
        "peak_gflops_bf16",
        *(f"{precision}_{figure}" for precision in precisions for figure in figures),
    }
    assert document["fp32_max_abs_diff"] < 3e-5 and document["gflop_step"] < document["gflop_plain"] / 3


def test_a_bench_on_a_gpu_that_is_not_there_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "policy", "--device", "cuda"]) == 1
    assert "PyTorch finds no GPU here" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"gr1 {metadata.version('gr1_core')}\n"
