"""Of the cut network and the student, the more accurate one that keeps all limits is kept."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnetctl.engine.stopwatch import Spread
from resnetctl.tasks.compress.attempts import CUT, STUDENT, Attempt, choose
from resnetctl.tasks.compress.report import Choice


def attempt(name: str, right: list[int], *, times: float = 2.0, problem: str = "") -> Attempt:
    spread = {"1": Spread(median=times, low=times - 0.1, high=times + 0.1, n=3)}
    file: Any = SimpleNamespace(is_right=np.array(right), accuracy=None)
    return Attempt(name=name, speedup=spread, files=[file], problem=problem)


def test_the_cut_network_alone_needs_no_reason() -> None:
    only = attempt(CUT, [1])
    assert choose([only], is_cut_the_measure=False) == (only, None)


@pytest.mark.parametrize(
    ("cut", "student", "is_cut_the_measure", "kept", "why"),
    [
        (([1, 0, 0, 0], 2.0, ""), ([1, 1, 0, 0], 2.0, ""), False, STUDENT,
         "the student is 25.00 points more accurate on val (95 % interval -17.43 to 67.43, 4 images)"),
        (([1, 1, 0, 0], 2.0, ""), ([1, 0, 0, 0], 9.0, ""), False, CUT,
         "the cut network is 25.00 points more accurate on val (95 % interval -17.43 to 67.43, 4 images)"),
        (([1, 0], 2.0, ""), ([0, 1], 2.5, ""), False, STUDENT,
         "both are equally accurate on val, and the student is faster: "
         "the student 2.50 times as fast as the whole network, the cut network 2.00 times"),
        (([0, 0], 2.0, ""), ([1, 1], 1.8, ""), True, CUT,
         "the student is slower: the student 1.80 times as fast as the whole network, the cut network 2.00 times"),
        (([0, 0], 2.0, ""), ([1, 1], 1.95, ""), True, STUDENT,  # within the quartiles
         "the student is 100.00 points more accurate on val (95 % interval 100.00 to 100.00, 2 images)"),
        (([1, 1], 2.0, "it is too large"), ([0, 0], 1.1, ""), True, STUDENT,
         "the cut network does not keep the limits: it is too large"),
        (([0, 0], 2.0, ""), ([1, 1], 3.0, "it loses 9 points"), False, CUT,
         "the student does not keep the limits: it loses 9 points"),
    ],
)  # fmt: skip
def test_one_of_the_two_is_kept_for_a_reason(
    cut: Any, student: Any, is_cut_the_measure: bool, kept: str, why: str
) -> None:
    both = [
        attempt(name, right, times=times, problem=problem)
        for name, (right, times, problem) in ((CUT, cut), (STUDENT, student))
    ]
    best, choice = choose(both, is_cut_the_measure=is_cut_the_measure)
    assert choice is not None
    assert (best.name, choice.kept, choice.why) == (kept, kept, why)
    assert [candidate.is_kept for candidate in choice.candidates] == [kept == CUT, kept == STUDENT]
    assert Choice.from_json(choice.to_json()) == choice
