"""Show a training run: each fact on the screen when it arrives, the result on stdout at the end."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from resnetctl.cli.screen import epochs, shell_hints, streams
from resnetctl.cli.screen.progress import Screen

if TYPE_CHECKING:
    from resnetctl.engine.loop import StepResult
    from resnetctl.facts import EpochTimed, Finished, Notice, Started, TrainFact
    from resnetctl.report.outcomes import TrainReport


def follow(facts: "Iterable[TrainFact | StepResult]", *, verb: str, as_json: bool) -> None:
    """Show all facts of a run, then print the summary or its JSON document."""
    with Follower(verb) as follower:
        for fact in facts:
            follower.show(fact)
    finished = follower.finished
    if as_json:
        streams.report(_report(follower))
    elif finished is not None:
        streams.result("\n".join(["", *epochs.summary_lines(finished.run, finished.summary, width=streams.width())]))


class Follower(Screen):
    """The screen of a training run."""

    def __init__(self, verb: str) -> None:
        from resnetctl import facts

        super().__init__()
        self.verb = verb
        self.history: epochs.History | None = None
        self.notices: list[str] = []
        self.finished: Finished | None = None
        self._began = 0.0
        self._columns: epochs.Columns = ()
        self._shows: dict[type, Callable[[Any], None]] = {
            facts.Notice: self._notice,
            facts.Doing: self._notice,
            facts.Progress: self.progress,
            facts.Started: self._start,
            facts.EpochTimed: self._epoch,
            facts.Finished: self._finished,
        }

    def show(self, fact: "TrainFact | StepResult") -> None:
        """Draw one fact."""
        self._shows.get(type(fact), self._step)(fact)

    def _notice(self, fact: "Notice") -> None:
        self.notices.append(fact.text)
        self.line(shell_hints.notice_lines(fact))

    def _finished(self, fact: "Finished") -> None:
        self.finished = fact
        self.clear()

    def _start(self, fact: "Started") -> None:
        self.history = epochs.History(started=fact)
        self._began = time.monotonic()
        for text in epochs.header(fact, self.verb, width=streams.width()):
            self.line(streams.one_line(text))
        self.line("")

    def _epoch(self, fact: "EpochTimed") -> None:
        if self.history is None:
            return
        if not self._columns:
            width = streams.width() if self.live else sys.maxsize  # a log gets every column
            self._columns = epochs.columns(self.history.started, width)
            for text in epochs.table_head(self._columns):
                self.line(text)
        self.history.add(fact)
        self.line(epochs.epoch_line(fact, self.history, columns=self._columns))

    def _step(self, fact: "StepResult") -> None:
        """Redraw the footer. Reads the loss only then, because reading it waits for the device."""
        history = self.history
        if history is not None and history.started.run is not None:
            done = fact.step - history.started.start_step
            eta = (time.monotonic() - self._began) * history.started.left(fact.step) if done >= 5 else None
            self.footer(
                lambda: epochs.live_lines(history, fact.step, loss=float(fact.loss), eta=eta, width=streams.width())
            )


def _report(follower: Follower) -> "TrainReport":
    """Return the report of a run, or of a dry run."""
    from resnetctl.report.outcomes import TrainReport

    if follower.finished is not None:
        return TrainReport(path=follower.finished.run, summary=follower.finished.summary)
    facts: dict[str, Any] = {"status": "dry run"}
    if follower.history is not None:
        started = follower.history.started
        facts |= {"arch": started.arch.name, "data": started.config.data, "params": started.params}
        facts |= {"train_images": started.train_images, "val_images": started.val_images, "steps": started.steps}
    return TrainReport(path=None, summary={**facts, "notices": follower.notices})
