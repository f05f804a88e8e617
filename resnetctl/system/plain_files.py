"""Open files that must be plain ones. Worker processes import it, so it loads little."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from resnetctl.errors import ResnetctlError, WorkFailed
from resnetctl.hints import nearest

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # errors of the machine, which say nothing about a file


def open_regular(path: str | Path, *, error: type[ResnetctlError]) -> BinaryIO:
    """Open a plain file for reading. Raises `error` if it is missing, unreadable, a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would wait for a writer
            raise error("this is not a plain file", where=str(path))
        return open(path, "rb")
    except OSError as refusal:
        kind = WorkFailed if refusal.errno in EXHAUSTED else error
        is_missing = isinstance(refusal, FileNotFoundError)
        message = "there is no such file" if is_missing else f"the file cannot be read: {refusal.strerror}"
        raise kind(message, where=str(path)) from refusal


def is_path(text: str | Path) -> bool:
    """Return whether a text that may be a name or a path is written as a path: `./cels`, `photos/a`, `~/photos`."""
    return "/" in str(text) or "\\" in str(text) or str(text).startswith((".", "~"))


def expanded(path: str | Path) -> Path:
    """Return the path with `~` replaced. A user that does not exist stays as it is, and so is a missing folder."""
    return Path(os.path.expanduser(path))


def close_path(path: str | Path) -> list[str]:
    """Return a hint on what has a similar name in the folder of a missing path; an empty list without one."""
    name, text = Path(path).name, str(path).rstrip("/\\")
    with contextlib.suppress(OSError):
        if near := nearest(name, [item.name for item in expanded(path).parent.iterdir()]):
            return [f"did you mean '{text.removesuffix(name)}{near}'?"]
    return []
