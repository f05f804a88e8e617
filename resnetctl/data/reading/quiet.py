"""Silence while images are decoded. What libtiff and Pillow print is about damage that is refused or handled here.

Both print in ways that belong to the whole process: file descriptor 2 and the filters of `warnings`. So the first
thread that decodes silences them, and the last one restores them. Two threads that each saved and restored would
restore what the other had silenced.
"""

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType

PILLOW = r"PIL\b(?#set by resnetctl)"  # no user's filter is equal, so ours can be found and removed
_NOWHERE = logging.NullHandler()


class Shared:
    """A context that threads share: it is entered when the first thread comes, and left when the last one goes."""

    def __init__(self, context: Callable[[], AbstractContextManager[None]]) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._inside = 0
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._entered.enter_context(self._context())
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._entered.close()


@contextlib.contextmanager
def _without_pillow() -> Iterator[None]:
    """Ignore warnings of Pillow, and its log unless the program has a handler for it. All other filters stay."""
    logging.getLogger("PIL").addHandler(_NOWHERE)  # otherwise Python prints errors of a logger without handlers
    warnings.filterwarnings("ignore", module=PILLOW)
    own = warnings.filters[0]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread has replaced the filters meanwhile
            warnings.filters.remove(own)  # type: ignore[attr-defined]  # it is a list


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard output to file descriptor 2, because libtiff prints there, not to Python's stderr.

    Output of other threads to stderr is lost meanwhile, too.
    """
    try:
        saved = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


quiet_pillow = Shared(_without_pillow)
quiet_libtiff = Shared(_without_stderr)
