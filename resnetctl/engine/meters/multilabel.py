"""The task `multilabel`: any number of classes per image, measured by the mean average precision of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.meters import bootstrap
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Agreement, Curve, Figure, Measured, Output, Tags, TruthKind
from resnetctl.spec.dense import SHOWN_PROBABILITY

Array = NDArray[Any]
FEWEST = 5  # images with the class, and without it, that can choose
SAME = 1e-4  # largest difference between two equal probabilities
RECALLS = 101  # points of a curve


@dataclass(frozen=True)
class Ranked:
    """One class: the images by falling probability, whether each has the class, and where equal probabilities end."""

    order: Array
    positive: Array
    ends: Array

    @classmethod
    def of(cls, scores: Array, positive: Array) -> "Ranked":
        """Rank images by their probabilities (N,); `positive` (N,) says which have the class."""
        order = np.argsort(-scores, kind="stable")
        return cls(order, positive[order], np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1))

    def curve(self, times: Array) -> tuple[Array, Array] | None:
        """Return recall and precision at each threshold, image i counting `times[i]` times; None without the class."""
        weights = times[self.order]
        hits = (weights * self.positive).cumsum()[self.ends]
        taken = weights.cumsum()[self.ends]
        if not hits[-1]:
            return None
        return hits / hits[-1], hits / np.maximum(taken, 1)

    def average_precision(self, times: Array) -> float:
        """Return the sum over the thresholds of (recall - recall before) * precision; NaN without the class."""
        found = self.curve(times)
        return float("nan") if found is None else float((np.diff(found[0], prepend=0.0) * found[1]).sum())


def require_finite(shares: Array) -> None:
    """Raise `WorkFailed` if a probability is no number: it would look like a class that the image has not."""
    if not np.isfinite(shares).all():
        raise WorkFailed("the network gives probabilities that are not finite: its weights are broken")


class MultilabelMeter:
    """Keeps the probabilities and the tags of all images."""

    def __init__(self, classes: Sequence[str], thresholds: Sequence[float] = ()) -> None:
        self._classes, self._least = classes, np.array(thresholds or [SHOWN_PROBABILITY] * len(classes))
        self._shares: list[Array] = []
        self._tags: list[Array] = []

    def add(self, prediction: Sequence[Array], truth: Tags) -> None:
        """Add probabilities (N, K) and the tags of the same images. Raises `WorkFailed` for numbers that are none."""
        (shares,) = prediction
        require_finite(shares)
        self._shares.append(np.asarray(shares, np.float64))
        self._tags.append(np.asarray(truth.tags) > 0)

    def thresholds(self) -> tuple[float, ...]:
        """Return for each class the threshold with the best F1 on the images so far; 0.5 if too few have the class."""
        shares, tags = self._all()
        return tuple(best_threshold(own, true) for own, true in zip(shares.T, tags.T, strict=True))

    def _all(self) -> tuple[Array, Array]:
        if not self._shares:
            raise DataError("there are no images to measure")
        return np.concatenate(self._shares), np.concatenate(self._tags)

    def report(self) -> Measured:
        """Return the mean average precision, and the mean F1 at the thresholds. Raises `DataError` without an image."""
        shares, tags = self._all()
        answers, once = shares >= self._least, np.ones(len(tags), np.int64)
        ranked = [Ranked.of(shares[:, place], tags[:, place]) for place in range(len(self._classes))]
        precisions = [one.average_precision(once) for one in ranked]
        scores = [None if not own.any() else _f1(mine, own) for mine, own in zip(answers.T, tags.T, strict=True)]

        def values(times: Array) -> list[float]:
            each = [one.average_precision(times) for one in ranked]
            return [_mean(each), *each]

        spread, *ends = bootstrap.intervals(len(tags), values, purpose="multilabel")
        known = [score for score in scores if score is not None]
        mean = _mean(precisions)
        return Measured(
            primary=Figure(name="map", value=0.0 if np.isnan(mean) else mean, interval=spread),
            count=len(tags),
            figures={
                "map": None if np.isnan(mean) else mean,
                "f1": float(np.mean(known)) if known else None,
                "exact": float((answers == tags).all(1).mean()),
            },
            per_class=tuple(
                {
                    "name": name,
                    "count": int(own.sum()),
                    "ap": None if np.isnan(ap) else ap,
                    "f1": f1,
                    "threshold": least,
                    "interval": end,
                }
                for name, own, ap, f1, least, end in zip(
                    self._classes, tags.T, precisions, scores, self._least.tolist(), ends, strict=True
                )
            ),
            curves=tuple(_curves(ranked, self._classes, once)),
            per_image=tuple(
                {
                    "f1": _f1(mine, own),
                    "labels": int(own.sum()),
                    "found": int(mine.sum()),
                }
                for mine, own in zip(answers, tags, strict=True)
            ),
        )


def best_threshold(shares: Array, positive: Array) -> float:
    """Return the threshold with the best F1, halfway between two probabilities, so that rounding changes no answer.

    Of several the one nearest to 0.5. With under `FEWEST` images that have the class, or have it not, it is 0.5.

    Args:
        shares: the probabilities of one class (N,).
        positive: whether each image has it, bool (N,).
    """
    count = int(positive.sum())
    if min(count, len(positive) - count) < FEWEST:
        return SHOWN_PROBABILITY
    order = np.argsort(-shares, kind="stable")
    ranked = shares[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last image of each probability
    scores = 2 * positive[order].cumsum()[ends] / (ends + 1 + count)
    limits = (ranked[ends] + np.append(ranked[ends[1:]], 0.0)) / 2
    best = scores >= scores.max() - 1e-12
    return float(limits[best][np.abs(limits[best] - SHOWN_PROBABILITY).argmin()])


def _f1(answers: Array, truth: Array) -> float:
    """Return F1 of two rows of switches; 1 if nothing is true and nothing is answered."""
    total = int(answers.sum() + truth.sum())
    return 2 * int((answers & truth).sum()) / total if total else 1.0


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _curves(ranked: Sequence[Ranked], classes: Sequence[str], once: Array) -> list[Curve]:
    """Return the best precision from each recall on, for the classes that occur."""
    grid, found = np.linspace(0, 1, RECALLS), []
    for name, one in zip(classes, ranked, strict=True):
        curve = one.curve(once)
        if curve is not None:
            best = np.maximum.accumulate(curve[1][::-1])[::-1]
            heights = best[np.minimum(np.searchsorted(curve[0], grid, side="left"), len(best) - 1)]
            points = tuple(zip(grid.tolist(), heights.tolist(), strict=True))
            found.append(Curve(name=name, axes=("recall", "precision"), points=points))
    return found


class Multilabel:
    """Any number of classes per image."""

    name = "multilabel"
    summary = "any number of classes per image"
    truth: TruthKind = "tags"
    outputs = (Output(name="probabilities", shape=("batch", "classes")),)
    primary = "map"

    def meter(self, classes: Sequence[str], *, thresholds: Sequence[float] = ()) -> MultilabelMeter:
        """Return a meter that has seen no image; () sets all thresholds to 0.5."""
        return MultilabelMeter(classes, thresholds)

    def agree(self, a: Sequence[Array], b: Sequence[Array]) -> Agreement:
        """Count the images whose probabilities are all equal but for rounding."""
        differences = np.abs(np.asarray(a[0], np.float64) - np.asarray(b[0], np.float64))
        most = differences.max(axis=1, initial=0.0)
        problems = tuple(
            f"image {row}: a probability differs by {most[row]:.2g}" for row in np.flatnonzero(most > SAME)
        )
        return Agreement(
            same=int((most <= SAME).sum()), total=len(most), largest=float(most.max(initial=0.0)), problems=problems
        )


multilabel = Multilabel()
