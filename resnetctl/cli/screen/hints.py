"""Hints in the words of the command line: config keys under the names of their flags."""

from functools import cache

from resnetctl import hints
from resnetctl.hints import Hint


def in_shell(hint: Hint) -> str:
    """Return a line to read or to paste into a shell: `--arch resnet20`, `resnetctl eval last`."""
    return hints.in_shell(hint, _flags())


@cache
def _flags() -> dict[str, str]:
    """Flags by config key."""
    from resnetctl.config.options import flags
    from resnetctl.config.schema import FinetuneConfig

    return {flag.key: flag.flag for flag in flags(FinetuneConfig)}
