"""Stopping on SIGINT and SIGTERM: finish the step, save, say how to go on. A second signal stops at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self


class Interrupted(BaseException):
    """Raised inside `Stop.at_once` sections, where nothing is half-done."""


@contextlib.contextmanager
def taken(handler: Callable[[signal.Signals], None]) -> Iterator[None]:
    """SIGINT and SIGTERM go to `handler` for the length of the block, and a second one ends the process at once.

    One that was ignored (`nohup`, `command &` of a script) stays so. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) is not signal.SIG_IGN]

    def first(signum: int, frame: FrameType | None) -> None:
        for kind in kinds:
            signal.signal(kind, signal.SIG_DFL)
        handler(signal.Signals(signum))

    before = {kind: signal.signal(kind, first) for kind in kinds}
    try:
        yield
    finally:
        for kind, earlier in before.items():
            signal.signal(kind, earlier)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A section of somebody's C++, which an exception must not cross: a signal waits until it is over."""
    with Stop() as stop:
        yield
    if stop.signum:
        signal.raise_signal(stop.signum)


class Stop:
    """Remembers the first signal that comes while it is entered; `signum` is 0 until then."""

    def __init__(self) -> None:
        self.signum = 0
        self._at_once = False
        self._section = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._section.enter_context(taken(self._caught))
        return self

    def __exit__(self, *error: object) -> None:
        self._section.close()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A section that a signal leaves immediately, by `Interrupted`: evaluation, say."""
        if self.signum:
            raise Interrupted
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _caught(self, signum: signal.Signals) -> None:
        self.signum = signum
        if self._at_once:
            self._at_once = False
            raise Interrupted
