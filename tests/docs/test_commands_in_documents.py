"""Every `gr1` command and option that a document shows exists. An option that a parser refuses is missing."""

import argparse
import importlib
import re
import shlex

import pytest

from gr1_core import cli

from .test_documents import documents, text_of

CODE = re.compile(r"^```.*?^```|^(?:    .*\n)+", re.M | re.S)
INLINE = re.compile(r"`(gr1 [^`]+)`")
COMMAND = re.compile(r"^\s*(?:\$ |\.venv/bin/|[A-Z_]+=\S+ )*(gr1 .*)$", re.M)
MODULES = cli.command_modules()
FROZEN = {"docs/results/log.md"}


def shown(text: str) -> list[str]:
    """Command lines of code blocks and inline code, without comments and redirections."""
    blocks = "\n".join(CODE.findall(text)).replace("\\\n", " ")
    lines = COMMAND.findall(blocks) + INLINE.findall(text)
    return [re.split(r"\s#|\s(?:\||>|2>|&&|;)\s", line)[0].strip() for line in lines]


def options(module: str) -> set[str]:
    parser = importlib.import_module(module).parser()
    return {
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    }


def missing(line: str) -> list[str]:
    """What of a shown command does not exist."""
    words = [word.strip("[],.;:") for word in _split(line.split(" --ros-args")[0])[1:]]
    names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
    if not names or any(word.isupper() for word in words[:2]):
        return []
    found = next(
        (" ".join(words[:n]) for n in range(len(words), 0, -1) if " ".join(words[:n]) in MODULES), None
    )
    if found is None:
        group = any(name.split()[0] == names[0] for name in MODULES)
        return [] if group and len(words) < 2 or "|" in line else [line]
    known = options(MODULES[found])
    return [
        f"{line}: {word}"
        for word in words
        if word.startswith("--") and word.split("=")[0] not in known and word != "--"
    ]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


@pytest.mark.parametrize("name", [name for name in documents() if name not in FROZEN])
def test_commands_and_options_that_a_document_shows_exist(name):
    assert [each for line in shown(text_of(name)) for each in missing(line)] == []
