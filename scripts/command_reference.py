"""Writes docs/reference/command_line.md from the parsers of all `gr1` commands; with --check it only
compares.

All packages of this repository must be installed (`make setup`).
"""

from __future__ import annotations

import argparse
import difflib
import sys
from importlib import import_module
from pathlib import Path

from gr1_core import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command_line.md"
_HEAD = """\
# Command line

For everybody who runs `gr1`: all commands with all their options. `gr1 --help` lists the commands,
`gr1 COMMAND --help` the options of one. Exit codes, unless a command documents others: 0 success, 1 an error
(one line on stderr), 2 wrong arguments, 130 Ctrl-C.

This page is generated from the parsers: `python scripts/command_reference.py` writes it.

| Command | What it does |
|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="exit code 1 and the difference if the page is outdated"
    )
    arguments = parser.parse_args()
    page = reference_page()
    if not arguments.check:
        PAGE.write_text(page)
        return 0
    present = PAGE.read_text() if PAGE.is_file() else ""
    if page == present:
        return 0
    print(
        "".join(difflib.unified_diff(present.splitlines(True), page.splitlines(True), "page", "parsers", n=1))
    )
    print(f"{PAGE} is outdated: run `python scripts/command_reference.py`", file=sys.stderr)
    return 1


def reference_page() -> str:
    """The whole page as Markdown."""
    modules = {name: import_module(module) for name, module in cli.command_modules().items()}
    rows = [
        f"| [`gr1 {name}`](#{_anchor(name)}) | {_escape(module.HELP)} |" for name, module in modules.items()
    ]
    sections = [_section(name, module) for name, module in modules.items()]
    return _HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections)


def _anchor(name: str) -> str:
    return f"gr1-{name}".replace(" ", "-")


def _section(name: str, module) -> str:
    parser = module.parser()
    actions = [
        action
        for action in parser._actions
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    ]
    text = (parser.description or module.HELP).strip()
    lines = [f"## gr1 {name}", "", _escape(text[0].upper() + text[1:]).rstrip(".") + ".", ""]
    lines += [f"    {_usage(parser, actions)}", ""]
    if actions:
        lines += ["| Argument | Meaning |", "|---|---|"]
        lines += [f"| `{_argument(action)}` | {_help(parser, action)} |" for action in actions]
        lines.append("")
    return "\n".join(lines)


def _usage(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> str:
    """One line: positional and required arguments, [options] for the rest."""
    positional = [_values(action) for action in actions if not action.option_strings]
    required = [_argument(action) for action in actions if action.option_strings and action.required]
    groups = [group for group in parser._mutually_exclusive_groups if group.required]
    required += [f"({' | '.join(_argument(action) for action in group._group_actions)})" for group in groups]
    grouped = {action for group in groups for action in group._group_actions}
    optional = [action for action in actions if action.option_strings and not action.required]
    rest = ["[options]"] if set(optional) - grouped else []
    return " ".join([parser.prog, *positional, *required, *rest])


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return _values(action)
    return " ".join(filter(None, [", ".join(action.option_strings), _values(action)]))


def _values(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    name = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest
    )
    if action.option_strings and not (action.metavar or action.choices):
        name = name.upper()
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(action.nargs, name)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % (vars(action) | {"prog": parser.prog})
    choices = f"one of {', '.join(map(str, action.choices))}" if action.choices and action.metavar else ""
    return _escape("; ".join(filter(None, [text, choices])))


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
