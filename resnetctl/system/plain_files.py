"""Open files that must be plain ones. Worker processes import it, so it loads little."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from resnetctl.errors import ResnetctlError, WorkFailed

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # errors of the machine, which say nothing about a file


def open_regular(path: str | Path, *, error: type[ResnetctlError]) -> BinaryIO:
    """Open a plain file for reading. Raises `error` if it is missing, unreadable, a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would wait for a writer
            raise error("this is not a plain file", where=str(path))
        return open(path, "rb")
    except OSError as refusal:
        kind = WorkFailed if refusal.errno in EXHAUSTED else error
        raise kind(f"the file cannot be read: {refusal.strerror}", where=str(path)) from refusal
