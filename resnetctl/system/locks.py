"""Lock files, which keep other processes away, and files that one process at a time makes longer. Only this locks."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from resnetctl.errors import UsageError
from resnetctl.system import storage

WAIT = 0.2  # seconds: `is_locked` holds a free lock for a moment
HELD: dict[str, int] = {}  # lock file -> the process that holds it; a fork has a copy


@contextlib.contextmanager
def lock(path: Path, *, owner: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock file `path`; the kernel frees it when the process dies. `wait` is in seconds.

    Raises:
        UsageError: another process, or this one, holds it. `owner` names the locked object in the message.
    """
    name = os.path.realpath(path)
    with storage.reported(path):
        guard = FileLock(path, timeout=wait)
        try:
            guard.acquire()
        except Timeout:
            raise _in_use(path, owner, is_own=HELD.get(name) == os.getpid()) from None
    HELD[name] = os.getpid()
    try:
        yield
    finally:
        HELD.pop(name, None)
        guard.release()


@contextlib.contextmanager
def growing_file(path: Path, *, owner: str) -> Iterator[IO[bytes]]:
    """Yield `path` opened for appending by one process at a time, for a download that a later call resumes.

    Written bytes stay, also on failure; `storage.settle` gives the file its name. `owner` names the work in the error
    of a second process. Inside `with`, raise `OSError` only for errors of `path`: it is reported as a write error.
    """
    with storage.reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path.with_name(f".{path.name}.lock"), owner=owner), storage.reported(path), path.open("ab") as file:
        yield file


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock file `path`. False when this cannot be found out."""
    if not path.is_file():  # a lock would create it
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _in_use(path: Path, owner: str, *, is_own: bool) -> UsageError:
    if not is_own:
        return UsageError(f"{owner} is in use by another process", where=str(path))
    hint = "take the last fact of its rc.stream iterator, or end it with close()"
    return UsageError(f"{owner} is in use by this process", where=str(path), hint=hint)
