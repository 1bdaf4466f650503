"""Commands of this package for `gr1`, see gr1_core.commands."""

from gr1_common.shell import shell_problem as problem

__all__ = ["problem"]
