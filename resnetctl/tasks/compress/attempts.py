"""The attempts at a smaller network, as far as they came: the cut one and the student, and which one is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnetctl.compress.int8 import Gap, gap_between
from resnetctl.engine.stopwatch import Spread
from resnetctl.models.resnet import ResNet
from resnetctl.runs import RunDir
from resnetctl.spec import WeightsCard
from resnetctl.tasks.compress.clock import Took
from resnetctl.tasks.compress.report import Accuracy, Candidate, Choice, CutFacts

CUT, STUDENT = "cut", "student"
LABELS = {CUT: "the cut network", STUDENT: "the student"}


@dataclass(frozen=True, kw_only=True)
class File:
    """An ONNX file of a network, its accuracy on val, and the stage that made it.

    Attributes:
        is_right: int64 (N,), 1 for each image of val that it gets right.
        float_layers: the layers of an int8 file that went back to float32.
        took: what making and measuring the float32 file took.
    """

    name: str
    net: ResNet
    card: WeightsCard
    data: bytes
    accuracy: Accuracy
    is_right: NDArray[np.int64]
    took: Took
    float_layers: tuple[str, ...] = ()
    is_int8: bool = False


@dataclass(kw_only=True)
class Attempt:
    """A way to a smaller network, filled in as the work goes on.

    Attributes:
        name: `CUT` or `STUDENT`.
        cut: what was measured when the network was cut.
        speedup: how many times as fast as the whole network it is, by images a batch.
        last: the run of its last stage.
        files: one for each of its stages.
        problem: why it breaks a limit; "" if it keeps all.
    """

    name: str
    cut: CutFacts | None = None
    speedup: Mapping[str, Spread] = field(default_factory=dict)
    last: RunDir | None = None
    files: list[File] = field(default_factory=list)
    problem: str = ""

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return LABELS[self.name]

    @property
    def trained(self) -> Accuracy | None:
        """The accuracy of the trained float32 network on val."""
        return self.files[1].accuracy if len(self.files) > 1 else None

    def candidate(self, *, is_kept: bool) -> Candidate:
        """Return what the report says about it."""
        return Candidate(
            name=self.name, is_kept=is_kept, trained=self.trained, speedup=self.speedup, problem=self.problem
        )


def choose(attempts: Sequence[Attempt], *, is_cut_the_measure: bool) -> tuple[Attempt, Choice | None]:
    """Return the attempt to keep, and why; no reason is needed where there is only one.

    Of the networks that keep all limits, the more accurate one on val is kept; of two that are equal, the faster one.

    Args:
        attempts: the cut network, and the student if there is one. One of them has no problem.
        is_cut_the_measure: the order sets no speed, so the student must be as fast as the cut network.
    """
    if len(attempts) == 1:
        return attempts[0], None
    cut, student = attempts
    gap = None
    if cut.problem or student.problem:
        kept, lost = (student, cut) if cut.problem else (cut, student)
        why = f"{lost.label} does not keep the limits: {lost.problem}"
    elif is_cut_the_measure and student.speedup["1"].median < cut.speedup["1"].low:
        kept, why = cut, f"the student is slower: {_speeds(cut, student)}"
    else:
        gap = gap_between(*(attempt.files[-1].is_right for attempt in attempts), labels=np.ones_like(_right(cut)))
        kept, why = _more_accurate(cut, student, gap)
    candidates = tuple(attempt.candidate(is_kept=attempt is kept) for attempt in attempts)
    return kept, Choice(kept=kept.name, why=why, gap=gap, candidates=candidates)


def _more_accurate(cut: Attempt, student: Attempt, gap: Gap) -> tuple[Attempt, str]:
    if gap.drop == 0:
        kept = max(cut, student, key=lambda attempt: attempt.speedup["1"].median)
        return kept, f"both are equally accurate on val, and {kept.label} is faster: {_speeds(cut, student)}"
    kept, sign = (cut, 1) if gap.drop > 0 else (student, -1)
    low, high = sorted(100 * sign * end for end in gap.interval)
    return kept, (
        f"{kept.label} is {100 * abs(gap.drop):.2f} points more accurate on val (95 % interval {low:.2f} to "
        f"{high:.2f}, {gap.count:,} images)"
    )


def _right(attempt: Attempt) -> NDArray[np.int64]:
    return attempt.files[-1].is_right


def _speeds(cut: Attempt, student: Attempt) -> str:
    ours, its = (attempt.speedup["1"].median for attempt in (student, cut))
    return f"the student {ours:.2f} times as fast as the whole network, the cut network {its:.2f} times"
