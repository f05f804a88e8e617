"""The task `classify`: one class per image. Its network is the arch with its own classifier."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from resnetctl.engine.metrics import Sums, probabilities, wilson
from resnetctl.errors import DataError
from resnetctl.spec import Agreement, Figure, Labels, Measured, Output, TruthKind

LARGEST = 1e-4  # difference of a logit, as a share of the largest logit, or of 1


class ClassifyMeter:
    """Counts correct classes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._sums = Sums.of(len(classes))
        self._images: list[dict[str, float | None]] = []

    def add(self, prediction: Sequence[np.ndarray[Any, Any]], truth: Labels) -> None:
        """Add logits (B, K), the first output, and labels."""
        logits, labels = prediction[0], np.asarray(truth.labels)
        self._sums.add(logits, labels)
        shares = probabilities(logits)[np.arange(len(labels)), labels]
        is_correct = logits.argmax(axis=1) == labels
        self._images += [
            {"probability": share, "correct": float(hit)}
            for share, hit in zip(shares.tolist(), is_correct, strict=True)
        ]

    def report(self) -> Measured:
        """Return top-1, top-5 and the mean cross-entropy, and for each image the probability of its true class.

        Raises:
            DataError: there was no image.
        """
        if not self._sums.count:
            raise DataError("there are no images to measure")
        report = self._sums.report(self._classes, seconds=1.0)
        return Measured(
            primary=Figure(name="top1", value=report.top1, interval=report.interval),
            count=report.count,
            figures={"top1": report.top1, "top5": report.top5, "loss": report.loss},
            per_class=tuple(
                {
                    "name": item.name,
                    "count": item.count,
                    "top1": item.accuracy,
                    "interval": wilson(item.correct, item.count) if item.count else None,
                }
                for item in report.per_class
            ),
            per_image=tuple(self._images),
        )


class Classify:
    """One class per image."""

    name = "classify"
    summary = "one class per image"
    truth: TruthKind = "labels"
    outputs = (
        Output(name="logits", shape=("batch", "classes")),
        Output(name="probabilities", shape=("batch", "classes")),
    )
    primary = "top1"

    def meter(self, classes: Sequence[str]) -> ClassifyMeter:
        """Return a meter that has seen no image."""
        return ClassifyMeter(classes)

    def agree(self, a: Sequence[np.ndarray[Any, Any]], b: Sequence[np.ndarray[Any, Any]]) -> Agreement:
        """Count the images with the same class, or with two classes whose logits differ less than rounding does."""
        one, two = (np.asarray(item[0], np.float64) for item in (a, b))
        largest = float(np.abs(one - two).max(initial=0.0))
        allowed = LARGEST * max(1.0, float(np.abs(one).max(initial=0.0)))
        rows, chosen = np.arange(len(one)), two.argmax(axis=1)
        same = one.max(axis=1, initial=-np.inf) - one[rows, chosen] <= allowed
        problems = tuple(f"image {row}: classes {one[row].argmax()} and {chosen[row]}" for row in np.flatnonzero(~same))
        return Agreement(same=int(same.sum()), total=len(one), largest=largest, problems=problems)


classify = Classify()
