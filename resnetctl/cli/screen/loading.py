"""A note on the screen while PyTorch loads, or other work takes long: seconds of silence look like a hang."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from resnetctl.cli.screen import streams
from resnetctl.errors import UsageError

PATIENCE = 0.3  # seconds before the note is shown
NOTE = "Loading PyTorch…"


@contextlib.contextmanager
def torch_note() -> Iterator[None]:
    """Show the note on a terminal when an import of torch inside this `with` statement takes long."""
    if "torch" in sys.modules or not streams.is_terminal(sys.stderr):
        yield
        return
    with _shown_later(_Note(NOTE, needs="torch")):
        yield


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Show `text` on a terminal while the work inside this `with` statement takes long."""
    if not streams.is_terminal(sys.stderr):
        yield
        return
    with _shown_later(_Note(text)):
        yield


@contextlib.contextmanager
def _shown_later(note: "_Note") -> Iterator[None]:
    timer = threading.Timer(PATIENCE, note.show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        note.clear()


def check_folder() -> None:
    """Raise `UsageError` when the current folder was removed: importing torch there would end the process."""
    try:
        os.getcwd()
    except FileNotFoundError:
        hint = "cd to a folder that exists: PyTorch cannot be loaded here"
        raise UsageError("the current folder was removed", hint=hint) from None


def load_torch() -> None:
    """Import torch now, with the note. Raises `UsageError` as `check_folder`."""
    from importlib import import_module

    check_folder()
    with torch_note():
        import_module("torch")


class _Note:
    """One line on stderr, erased by `clear`. The lock keeps a late timer from writing after `clear`.

    `needs` is a module without which the line is not shown.
    """

    def __init__(self, text: str, *, needs: str = "sys") -> None:
        self._text, self._needs = text, needs
        self._lock = threading.Lock()
        self._over = False
        self._shown = False

    def show(self) -> None:
        with self._lock:
            if not self._over and self._needs in sys.modules:
                self._shown = True
                sys.stderr.write(self._text)
                sys.stderr.flush()

    def clear(self) -> None:
        with self._lock:
            self._over = True
            if self._shown:
                sys.stderr.write("\r" + " " * len(self._text) + "\r")
                sys.stderr.flush()
