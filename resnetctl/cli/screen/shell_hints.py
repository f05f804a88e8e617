"""Write hints as the command line does: config keys by the names of their flags."""

from functools import cache
from typing import TYPE_CHECKING

from resnetctl import hints
from resnetctl.cli.screen import streams
from resnetctl.hints import Hint

if TYPE_CHECKING:
    from resnetctl.facts import Notice


def in_shell(hint: Hint) -> str:
    """Return a line to read or to paste into a shell: `--arch resnet20`, `resnetctl eval last`."""
    return hints.in_shell(hint, _flags())


def notice_lines(notice: "Notice") -> str:
    """Return the text of a notice, then a line for each hint."""
    marks = ["  try    ", *["         "] * len(notice.hint)]
    hints = [mark + streams.one_line(in_shell(hint)) for mark, hint in zip(marks, notice.hint, strict=False)]
    return "\n".join([streams.notice(notice.text), *hints])


@cache
def _flags() -> dict[str, str]:
    """Return the flag of each config key."""
    from resnetctl.config.options import flags
    from resnetctl.config.schema import FinetuneConfig

    return {flag.key: flag.flag for flag in flags(FinetuneConfig)}
