"""The report of `compress`: what was removed, what it costs and gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.compress.depths import Depths
from resnetctl.compress.int8 import Gap
from resnetctl.compress.latency import Latency
from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.metrics import EvalReport
from resnetctl.engine.stopwatch import Spread
from resnetctl.fields import plain
from resnetctl.report.base import Report
from resnetctl.spec import Card

FLOAT, INT8 = "float32", "int8"  # forms of a file


@dataclass(frozen=True, kw_only=True)
class Accuracy(Card):
    """The top-1 accuracy on a split, with its 95 % interval."""

    top1: float
    interval: tuple[float, float]
    count: int

    @classmethod
    def of(cls, report: EvalReport) -> Accuracy:
        """Return the accuracy in a report."""
        return cls(top1=report.top1, interval=report.interval, count=report.count)


@dataclass(frozen=True, kw_only=True)
class CutFacts(Card):
    """A network before and after it was cut.

    Attributes:
        before, after: blocks of each stage.
        removed: the importance of each removed block, in nats.
        widths: inner channels before and after, of each layer that has fewer.
        table: measured latencies, when a speed-up was asked for.
        speedup: how many times as fast as the whole network on this machine, by images a batch.
        params: parameters before and after.
        accuracy: on val before and after, without training.
    """

    before: Depths
    after: Depths
    removed: Mapping[str, float]
    table: LatencyTable | None
    speedup: Mapping[str, Spread]
    params: tuple[int, int]
    accuracy: tuple[Accuracy, Accuracy]
    widths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(tables=("removed", "speedup"))
        self._put(widths={name: tuple(pair) for name, pair in self.widths.items()})
        if isinstance(self.table, Mapping):
            self._put(table=LatencyTable.from_json(self.table))
        self._put(
            speedup={size: _card(Spread, value) for size, value in self.speedup.items()},
            accuracy=tuple(_card(Accuracy, value) for value in self.accuracy),
        )


@dataclass(frozen=True, kw_only=True)
class StageFacts(Card):
    """A network at one stage of the work, as an ONNX file on this machine.

    Attributes:
        name: `whole`, or the stage that made it.
        bytes: size of the ONNX file.
        latency: of one batch with one thread, by images a batch.
    """

    name: str
    params: int
    multiply_adds: int
    bytes: int
    accuracy: Accuracy
    latency: Mapping[str, Latency]


@dataclass(frozen=True, kw_only=True)
class FileFacts(Card):
    """An ONNX file: its bytes, and how many times as fast as the whole network it is here, by images a batch."""

    bytes: int
    speedup: Mapping[str, Spread]

    def __post_init__(self) -> None:
        self._put(speedup={size: _card(Spread, value) for size, value in self.speedup.items()})


@dataclass(frozen=True, kw_only=True)
class StudentFacts(Card):
    """A smaller network that competes with the cut one, before it was trained.

    Attributes:
        source: its weights file or its arch.
        milliseconds: of one image with one thread, the whole network and the student.
        forms: its ONNX file by `FLOAT`, and by `INT8` if that was asked for.
        accuracy: on val.
    """

    source: str
    arch: str
    params: int
    milliseconds: tuple[float, float]
    forms: Mapping[str, FileFacts]
    accuracy: Accuracy

    def __post_init__(self) -> None:
        self._put(
            milliseconds=tuple(self.milliseconds),
            forms={form: _card(FileFacts, value) for form, value in self.forms.items()},
            accuracy=_card(Accuracy, self.accuracy),
        )


@dataclass(frozen=True, kw_only=True)
class Candidate(Card):
    """One of the two networks that were trained.

    Attributes:
        name: `cut` or `student`.
        trained: accuracy on val; None if it was given up before.
        speedup: how many times as fast as the whole network here, by images a batch; empty if there is no such cut.
        problem: the limit that it breaks; "" if it keeps all.
    """

    name: str
    is_kept: bool
    trained: Accuracy | None
    speedup: Mapping[str, Spread]
    problem: str

    def __post_init__(self) -> None:
        self._put(speedup={size: _card(Spread, value) for size, value in self.speedup.items()})
        if self.trained is not None:
            self._put(trained=_card(Accuracy, self.trained))


@dataclass(frozen=True, kw_only=True)
class Choice(Card):
    """Which of the cut network and the student was kept, and why.

    Attributes:
        kept: `cut` or `student`.
        gap: the accuracy of the cut network and of the student on the same images of val, where it decided.
    """

    kept: str
    why: str
    gap: Gap | None
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        self._put(candidates=tuple(_card(Candidate, value) for value in self.candidates))
        if self.gap is not None:
            self._put(gap=_card(Gap, self.gap))


@dataclass(frozen=True, kw_only=True)
class CompressReport(Report):
    """The smaller network, and what it costs and gains.

    Attributes:
        path: the written weights file.
        target: the weights that it was made from.
        data: the dataset that it was chosen and measured on.
        cut: what was removed, also if the student is kept; None if no cut keeps the limits.
        run: the run that holds it; None for a file.
        trained: accuracy on val after fine-tuning; None without.
        file: the checked ONNX file, when a goal was set.
        stages: the network before, and after each stage, when a goal was set or a student competed.
        undone: what was tried and rejected, and why.
        test: accuracy of the file on test; None without a goal, or without a test split.
        test_before: that of the whole network, where val flatters it, so that test judges what was lost.
        seconds: wall time of all calls that worked on the run, without what a kill lost.
        student: what was measured of the student; None without one.
        choice: which of the two was kept; None without a student.
    """

    schema: ClassVar[str] = "resnetctl.compress/1"
    path: Path
    target: Path
    data: str
    cut: CutFacts | None
    run: Path | None = None
    trained: Accuracy | None = None
    file: Path | None = None
    stages: tuple[StageFacts, ...] = ()
    undone: tuple[str, ...] = ()
    test: Accuracy | None = None
    test_before: Accuracy | None = None
    seconds: float = 0.0
    student: StudentFacts | None = None
    choice: Choice | None = None
    notices: tuple[str, ...] = field(default=())

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield where the network is, what it was made from, and what it costs and gains."""
        yield "wrote", str(self.run or self.path)
        yield "from", str(self.target)
        if self.cut is not None:
            yield "blocks", " -> ".join(", ".join(map(str, depths)) for depths in (self.cut.before, self.cut.after))
            yield "params", " -> ".join(f"{count:,}" for count in self.cut.params)
            yield "accuracy on val", " -> ".join(self._accuracies(self.cut))
            for size, spread in self.cut.speedup.items():
                yield f"batch of {size}", f"{spread.median:.2f} times as fast ({spread.low:.2f} to {spread.high:.2f})"
        if self.choice is not None:
            yield "kept", f"{self.choice.kept}: {self.choice.why}"
        if self.test is not None:
            known = [accuracy for accuracy in (self.test_before, self.test) if accuracy is not None]
            yield "accuracy on test", " -> ".join(f"{accuracy.top1:.1%}" for accuracy in known)
        if self.file is not None:
            yield "checked file", str(self.file)
        yield from (("rejected", reason) for reason in self.undone)

    def __repr__(self) -> str:
        """Return what it costs and gains, and where it is, in one line."""
        shown = dict(self.rows())
        figures = [f"{name} {text}" for name, text in shown.items() if name.startswith(("accuracy", "params", "batch"))]
        return f"CompressReport({', '.join([*figures, repr(shown['wrote'])])})"

    def _accuracies(self, cut: CutFacts) -> list[str]:
        """Return the accuracy on val of the whole network, after the cut, and after the training of the cut one."""
        trained = self.trained if self.choice is None else self.choice.candidates[0].trained
        found = [*cut.accuracy, *([trained] if trained is not None else [])]
        return [f"{accuracy.top1:.1%}" for accuracy in found]

    def body(self) -> dict[str, Any]:
        """Return every field, those of the cut among them; they are None if there is no cut."""
        values: dict[str, Any] = plain(self)
        cut = values.pop("cut") or dict.fromkeys(each.name for each in fields(CutFacts))
        notices = values.pop("notices")
        return {**values, **cut, "notices": notices}


def _card(kind: type[Card], value: Any) -> Card:
    return kind.from_json(value) if isinstance(value, Mapping) else value
