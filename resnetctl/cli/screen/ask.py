"""Ask before something is deleted."""

import sys

from resnetctl.cli.screen import streams
from resnetctl.errors import UsageError
from resnetctl.hints import Setting


def confirm(question: str) -> None:
    """Return when the user says yes. Raises `UsageError` otherwise, or when there is no terminal to ask on."""
    if not (sys.stdin is not None and sys.stdin.isatty() and streams.is_terminal(sys.stderr)):
        raise UsageError("there is no terminal to ask on", hint=Setting("yes", True, note="removes without a question"))
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was removed")
