"""Progress of a training that Python started: one line in a terminal, one table in a notebook, updated in place.

The command line has a screen of its own (`cli.screen`). Facts that are no results of epochs pass unseen.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from resnetctl import notebook_tables
from resnetctl.errors import warn_caller
from resnetctl.facts import Doing, EpochTimed, Notice, Started
from resnetctl.hints import in_python
from resnetctl.spec import Measured

if TYPE_CHECKING:
    from resnetctl.engine.loop import StepResult
    from resnetctl.facts import TrainFact

    Fact: TypeAlias = TrainFact | StepResult

SHOWN = 12  # newest epochs in a notebook's table; `run.history` has all


def watched(facts: Iterable[Any], *, show: bool | None) -> Generator[Any, None, Any]:
    """Yield the facts, and show each epoch: in a notebook, or on stderr. Return what the generator of facts returns.

    Args:
        show: False is silent. None shows the epochs only where a person looks: in a notebook and in a terminal.
    """
    is_notebook = _in_notebook()
    if show is False or (show is None and not is_notebook and not sys.stderr.isatty()):
        return (yield from facts)
    screen = _Notebook() if is_notebook else _Line()
    work = iter(facts)
    try:
        while True:
            try:
                fact = next(work)
            except StopIteration as end:
                return end.value
            screen.see(fact)
            yield fact
    finally:
        screen.close()


def _in_notebook() -> bool:
    """Whether a kernel runs this process; a program that starts kernels has ipykernel loaded too."""
    shell = sys.modules.get("IPython")
    return getattr(shell and shell.get_ipython(), "kernel", None) is not None


class _Screen:
    """The epochs so far, as rows of cells."""

    def __init__(self) -> None:
        self.title = ""
        self.rows: list[dict[str, str]] = []
        self._epochs = 0

    def see(self, fact: Fact) -> None:
        """Draw again after the start and after each epoch, and say what begins."""
        if isinstance(fact, Started):
            self.title = f"{fact.arch.name} on {fact.config.data}"
            self.rows.clear()  # of the run before, in a sweep
            self._epochs = -(-fact.steps // fact.steps_per_epoch)
        elif isinstance(fact, EpochTimed):
            self.rows.append(self._cells(fact))
        elif isinstance(fact, Doing):
            self.say(fact.text)
            return
        else:
            return
        self.draw()

    def say(self, text: str) -> None:
        """Show what begins now, where there is room for it."""

    def draw(self) -> None:
        """Show the rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the screen as it is."""

    def _cells(self, fact: EpochTimed) -> dict[str, str]:
        result, val = fact.result, fact.result.val
        accuracy = {}
        if val is not None:
            name = val.primary.name if isinstance(val, Measured) else "accuracy"
            value = val.primary.value if isinstance(val, Measured) else val.top1
            accuracy = {f"val {name}": f"{value:.1%}{' *' if result.is_best else ''}"}
        return {
            "epoch": f"{result.epoch}/{self._epochs}",
            "train loss": f"{result.train_loss:.3f}",
            **accuracy,
            "learning rate": f"{result.lr:.2g}",
            "time": f"{fact.seconds:.1f} s",
        }


class _Line(_Screen):
    """One line on stderr. Only a terminal can rewrite it; a file gets one line for each epoch."""

    def draw(self) -> None:
        cells = (f"{name} {text}" for name, text in (self.rows[-1] if self.rows else {}).items())
        text = "  ".join([self.title, *cells])
        room = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be rewritten
        sys.stderr.write(f"\r{text[:room]}\033[K" if sys.stderr.isatty() else f"{text}\n")
        sys.stderr.flush()

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text}\033[K\n")

    def close(self) -> None:
        if self.title and sys.stderr.isatty():
            sys.stderr.write("\n")


class _Notebook(_Screen):
    """One table below the cell."""

    _handle: Any = None

    def draw(self) -> None:
        display = import_module("IPython.display")
        rest = len(self.rows) - SHOWN
        earlier = [dict.fromkeys(self.rows[0], "...") | {"epoch": f"{rest} before"}] if rest > 0 else []
        table = display.HTML(notebook_tables.grid([*earlier, *self.rows[-SHOWN:]], caption=self.title))
        if self._handle is None:
            self._handle = display.display(table, display_id=True)
        else:
            self._handle.update(table)


def told(facts: Iterator[Any], *, progress: bool | None) -> Iterator[Any]:
    """Yield the facts, show them as `watched`, and warn of notices that matter afterwards."""
    for fact in watched(facts, show=progress):
        if isinstance(fact, Notice) and not isinstance(fact, Doing):
            warn_caller("\n  try  ".join([fact.text, *map(in_python, fact.hint)]))
        yield fact
