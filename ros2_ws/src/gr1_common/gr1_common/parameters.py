"""ROS parameters with descriptors: `ros2 param describe` shows the text, the range and the choices."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from gr1_common.option import Option

_OPEN_LOW, _OPEN_HIGH = -(2**53), 2**53


class ParameterError(ValueError):
    """A parameter value that the node cannot use."""


def declare(
    node: Node,
    name: str,
    default,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    read_only: bool = False,
    choices: Sequence[str] | None = None,
    renamed: Mapping[str, str] | None = None,
):
    """Declares a parameter with a descriptor and returns its value.

    low, high: inclusive range of a number (None: open). choices: the only values allowed. renamed: values of
    earlier versions -> today's; they are refused too, and the error names today's. Raises ParameterError,
    which names the parameter, the value and what is allowed. A value that is set later is checked in the same
    way.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    if choices is not None:
        descriptor.additional_constraints = "one of: " + ", ".join(choices)
        if not read_only:
            node.add_on_set_parameters_callback(lambda changes: _check_choices(changes, name, choices))
    if low is not None or high is not None:
        ends = dict(
            from_value=low if low is not None else _OPEN_LOW,
            to_value=high if high is not None else _OPEN_HIGH,
        )
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(**{key: float(end) for key, end in ends.items()})
            ]
        else:
            descriptor.integer_range = [IntegerRange(**{key: int(end) for key, end in ends.items()}, step=1)]
    try:
        value = node.declare_parameter(name, default, descriptor).value
    except InvalidParameterTypeException as error:
        hint = (
            f"a decimal number such as {default}"
            if isinstance(default, float)
            else 'a text; in a YAML file write it in quotes, as "0123"'
            if isinstance(default, str)
            else f"{type(default).__name__}, such as {default!r}"
        )
        raise ParameterError(f"{str(error).removesuffix(f': {name}')}: give {hint}") from error
    except InvalidParameterValueException as error:
        raise ParameterError(str(error).partition("Reason: ")[2].removesuffix(f": {name}")) from error
    if choices is not None and value not in choices:
        today = (renamed or {}).get(value)
        raise ParameterError(
            f"parameter '{name}': '{value}' is not one of: {', '.join(choices)}"
            + (f" ('{value}' is called '{today}' now)" if today else "")
        )
    return value


def declare_options(
    node: Node, prefix: str, options: Sequence[Option], on_change: Callable[[str, object], None]
) -> dict:
    """Declares `<prefix>.<name>` for each option; returns the values by name.

    Raises ParameterError, also for a parameter `<prefix>.<other>` that no option has.
    on_change(name, value) is called in the executor's thread when a live option has been set to another
    allowed value.
    """
    settings = {}
    for option in options:
        limits = {
            "low": option.low,
            "high": option.high,
            "choices": option.choices,
            "read_only": not option.live,
        }
        settings[option.name] = declare(
            node, f"{prefix}.{option.name}", option.default, option.description, **limits
        )
    for given in _overrides(node):
        if given.startswith(f"{prefix}.") and not node.has_parameter(given):
            near = difflib.get_close_matches(given, [f"{prefix}.{name}" for name in settings], 1)
            hint = (
                f"did you mean '{near[0]}'?"
                if near
                else f"there are {', '.join(f'{prefix}.{name}' for name in settings)}"
            )
            raise ParameterError(f"no parameter '{given}': {hint}")
    live = {f"{prefix}.{option.name}": option.name for option in options if option.live}

    def after_set(changes) -> None:
        for change in changes:
            if change.name in live:
                on_change(live[change.name], change.value)

    if live:
        node.add_post_set_parameters_callback(after_set)
    return settings


def refuse_renamed(node: Node, renamed: Mapping[str, str]) -> None:
    """Raises ParameterError for a parameter that is given by the name of an earlier version; the error names
    today's.

    renamed: old name -> today's.
    """
    for given in _overrides(node):
        if given in renamed:
            raise ParameterError(f"no parameter '{given}': it is called '{renamed[given]}' now")


def _overrides(node: Node):
    # rclpy has no public way to ask, and would silently ignore a misspelt name.
    return node._parameter_overrides


def _check_choices(changes, name: str, choices: Sequence[str]) -> SetParametersResult:
    for change in changes:
        if change.name == name and change.value not in choices:
            reason = f"parameter '{name}': '{change.value}' is not one of: {', '.join(choices)}"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
