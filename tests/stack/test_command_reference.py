"""docs/reference/command_line.md says what the parsers of all packages say."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from gr1_core import cli

ROOT = Path(__file__).parents[2]
PARSERS = """
import sys
from importlib import import_module
from gr1_core import cli
for name, module in cli.command_modules().items():
    parser = import_module(module).parser()
    assert parser.prog == f"gr1 {name}", (name, parser.prog)
    for action in parser._actions:
        assert action.help, f"gr1 {name}: no help for {action.option_strings or action.dest}"
print(sorted({"rclpy", "torch", "mujoco"} & set(sys.modules)))
"""


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_the_page_is_what_the_parsers_say():
    checked = run("scripts/command_reference.py", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_parsers_explain_every_argument_and_need_no_ros():
    built = run("-c", PARSERS)
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[-1] == "[]"


def test_the_commands_of_the_ros_packages_are_those_that_gr1_names_where_they_are_missing():
    installed = {point.name.replace(".", " ") for point in entry_points(group=cli.GROUP)}
    assert installed == set(cli.OF_ROS_PACKAGES)
