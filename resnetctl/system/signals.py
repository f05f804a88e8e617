"""Stopping on SIGINT and SIGTERM: finish the step, save, and show how to resume. A second signal ends the process.

`Stop` remembers the first signal; the work reads `stop.signum` after each step. Inside `stop.immediately()` a signal
raises `StopNow` instead. `stop_later()` delays a signal until its `with` ends. All three use `on_stop`.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self


class Interruption(BaseException):
    """A signal arrived. Code that handles every exception of a plugin lets this one pass."""


class StopNow(Interruption):
    """A signal arrived inside `Stop.immediately`, where no work is half-finished."""


class Terminated(Interruption):
    """SIGTERM was received. Like KeyboardInterrupt, it undoes half-done work on its way up."""


@contextlib.contextmanager
def on_stop(handler: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Pass SIGINT and SIGTERM to `handler` inside `with`; a second signal ends the process at once.

    A signal that was ignored before (`nohup`, or `command &` in a script) stays ignored. Outside the main thread this
    does nothing, because Python handles signals in the main thread only.
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
def stop_later() -> Iterator[None]:
    """Delay a signal until `with` ends, because an exception must not cross the C++ code of a library."""
    with Stop() as stop:
        yield
    if stop.signum:
        signal.raise_signal(stop.signum)


class Stop:
    """Remembers the first signal inside `with`. `signum` is 0 until then."""

    def __init__(self) -> None:
        self.signum = 0
        self._immediate = False
        self._section = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._section.enter_context(on_stop(self._remember))
        return self

    def __exit__(self, *error: object) -> None:
        self._section.close()

    @contextlib.contextmanager
    def immediately(self) -> Iterator[None]:
        """Raise `StopNow` inside `with` as soon as a signal arrives, or at once if one arrived before."""
        if self.signum:
            raise StopNow
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    def _remember(self, signum: signal.Signals) -> None:
        self.signum = signum
        if self._immediate:
            self._immediate = False
            raise StopNow
