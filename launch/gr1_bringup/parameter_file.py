"""Parameter files for nodes. ROS-free.

Two parsers read YAML here: PyYAML follows YAML 1.1, rcl's has rules of its own. "038122250087", "123E5",
"nan" and "y" are texts for the one and numbers or truths for the other. So every text is written in
quotes.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml


class _Text(str):
    """A text that is written in double quotes."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def parameter_file(parameters: Mapping[str, object]) -> str:
    """The content of a parameter file that gives any node these parameters; texts stay texts."""
    quoted = {name: _quoted(value) for name, value in parameters.items()}
    return yaml.dump({"/**": {"ros__parameters": quoted}}, Dumper=_Dumper, allow_unicode=True, width=10**9)


def _quoted(value: object) -> object:
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, (list, tuple)):
        return [_quoted(item) for item in value]
    return value
