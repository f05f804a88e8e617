"""Abstaining: answer only when the confidence is high enough, and know the accuracy of the answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card
from resnetctl.trust.beta import is_below

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TARGETS = (0.9, 0.95, 0.99)
CONFIDENCE = 0.95
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1)


@dataclass(frozen=True, kw_only=True)
class Abstention(Card):
    """A threshold of confidence for a wanted accuracy, fitted on val and measured on another split.

    Attributes:
        target: the wanted accuracy of the answers.
        threshold: answer when the confidence is at least this; None: no threshold is proved to reach the target.
        fitted_on: images of val that gave the threshold.
        n, coverage, accuracy: measured images, the share that is answered, and the accuracy of the answers.
    """

    target: float
    threshold: float | None
    fitted_on: int
    n: int
    coverage: float
    accuracy: float | None


def risk_coverage(confidence: Floats, correct: Bools) -> tuple[Floats, Floats]:
    """Return coverage and error rate for every number of answers, most confident first: two arrays (N,).

    Images of equal confidence are answered together: each has the error rate of all of them.
    """
    order = np.argsort(-confidence, kind="stable")
    answers = np.arange(1, len(order) + 1)
    errors = np.cumsum(~correct[order])
    # the last image of each run of equal confidences
    last = np.searchsorted(-confidence[order], -confidence[order], side="right") - 1
    return answers / len(order), errors[last] / answers[last]


def aurc(confidence: Floats, correct: Bools) -> float:
    """Return the area under the risk-coverage curve: the mean error rate over all coverages (Geifman et al. 2019)."""
    return float(risk_coverage(confidence, correct)[1].mean())


def threshold(confidence: Floats, correct: Bools, *, target: float) -> float | None:
    """Return the smallest confidence at which the answers are proved to be `target` accurate, or None.

    A threshold is proved when the one-sided 95 % Clopper-Pearson bound of its error rate is at most 1 - target. The
    observed error rate alone, without a bound, is exceeded on every second new set of images.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, errors = confidence[order], np.cumsum(~correct[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(order) else np.empty(0, np.int64)
    for end in ends[::-1]:
        if is_below(int(errors[end]), int(end) + 1, rate=1 - target, confidence=CONFIDENCE):
            return float(ranked[end])
    return None


def abstention(
    confidence: Floats, correct: Bools, *, fit: tuple[Floats, Bools], targets: Sequence[float] = TARGETS
) -> Iterator[Abstention]:
    """Yield one entry for each target. `fit` is confidence and correctness on val."""
    on_val, right_on_val = fit
    for target in targets:
        limit = threshold(on_val, right_on_val, target=target)
        answered = confidence >= (2.0 if limit is None else limit)
        yield Abstention(
            target=target,
            threshold=limit,
            fitted_on=len(on_val),
            n=len(confidence),
            coverage=float(answered.mean()),
            accuracy=float(correct[answered].mean()) if answered.any() else None,
        )
