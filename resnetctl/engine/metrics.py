"""Metrics of a predictor in one pass over batches: sums in float64, counts in integers. Imports no torch.

Shapes: B images a batch, S pixels a side, C channels, K classes.
"""

import contextlib
import functools
import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Card

Images = NDArray[np.uint8]
Logits = NDArray[np.float32]
Labels = NDArray[np.int64]
Predictor = Callable[[Images], Logits]  # (B, S, S, C) uint8, not normalised, to (B, K) logits
Integers = NDArray[np.int64]
Tag = TypeVar("Tag")
Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
TOP = 5
GROUP = 128  # images counted at once: counting one image alone would cost a tenth of a small net's forward pass


@dataclass(frozen=True, kw_only=True)
class ClassReport(Card):
    """One class. `accuracy` is its recall, `correct / count`; None when the class has no image."""

    name: str
    count: int
    correct: int
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class EvalReport(Card):
    """The metrics of a predictor on one split. Fractions are 0..1.

    Attributes:
        top1, top5: share of images whose class is among the 1 or 5 largest logits; `top5` is None below five classes.
        loss: mean cross-entropy in nats.
        confusion: (K, K) counts; row i, column j: images of class i that were predicted as class j.
        interval: 95 % Wilson interval of `top1`.
        seconds: wall time, reading and preprocessing included; 0 for a stored pass, where no network ran.
    """

    top1: float
    top5: float | None
    loss: float
    count: int
    correct: int
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    interval: tuple[float, float]
    seconds: float = 0.0
    images_per_second: float = 0.0

    @property
    def balanced_accuracy(self) -> float:
        """Mean accuracy of the classes that have images (Brodersen et al. 2010, ICPR, p. 3121).

        A classifier that always gives the same answer gets 1 / classes, however unequal the classes are.
        """
        known = [item.accuracy for item in self.per_class if item.accuracy is not None]
        return sum(known) / len(known)

    @property
    def without_images(self) -> tuple[ClassReport, ...]:
        """The classes that the split has no image of. The balanced accuracy leaves them out."""
        return tuple(item for item in self.per_class if not item.count)

    @property
    def majority(self) -> ClassReport:
        """The class with the most images, the first of equals."""
        return max(self.per_class, key=lambda item: item.count)

    @property
    def baseline(self) -> float:
        """The accuracy of a classifier that always answers with the largest class."""
        return self.majority.count / self.count

    @property
    def never_predicted(self) -> tuple[ClassReport, ...]:
        """The classes that have images and were predicted for none."""
        predicted = [sum(column) for column in zip(*self.confusion, strict=True)]
        return tuple(item for item, times in zip(self.per_class, predicted, strict=True) if item.count and not times)

    def derived(self) -> dict[str, Any]:
        """Return the figures that follow from the fields, in JSON types."""
        return {
            "balanced_accuracy": self.balanced_accuracy,
            "majority_class": self.majority.name,
            "majority_baseline": self.baseline,
            "never_predicted": [item.name for item in self.never_predicted],
        }


class AddUp(Protocol):
    """Returns the sums of integers over all processes that measure. Raises if this or another process failed."""

    def __call__(self, values: Integers, *, has_failed: bool = False) -> Integers: ...


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one of several processes measures: `GROUP` images at a time, from group `first` of `groups` in all."""

    first: int
    groups: int
    add_up: AddUp


def measure(
    predict: Predictor,
    batches: Iterable[tuple[Images, Labels]],
    *,
    classes: Sequence[str],
    each: Callable[[Logits, Labels], object] | None = None,
    share: Share | None = None,
) -> EvalReport:
    """Run `predict` over all batches and return the metrics.

    The first class wins a tie, so the counts do not depend on the batch size.

    Args:
        predict: images (B, S, S, C) uint8 to logits (B, K).
        batches: images (B, S, S, C) uint8 with labels (B,) int64.
        classes: the K class names in the order of the logits.
        each: is called with the logits (B, K) and the labels (B,) of each group of images, in order.
        share: `batches` are those of one process, each of `GROUP` images but the last of all; the metrics are those of
            all processes, with the bits of one process that measures everything.

    Raises:
        DataError: there are no images.
        WorkFailed: a logit is not a finite number.
    """
    started = time.perf_counter()
    sums = Sums.of(len(classes))
    try:
        for logits, labels in grouped(predict, batches):
            joined = np.concatenate(labels)
            sums.add(logits, joined)
            if each is not None:
                each(logits, joined)
    except Exception:
        if share is not None:
            with contextlib.suppress(WorkFailed):
                share.add_up(sums.integers(share) * 0, has_failed=True)
        raise
    if share is not None:
        sums = sums.over(share)
    if not sums.count:
        raise DataError("there are no images to measure")
    return sums.report(classes, time.perf_counter() - started)


def grouped(predict: Predictor, batches: Iterable[tuple[Images, Tag]]) -> Iterator[tuple[Logits, list[Tag]]]:
    """Yield the logits (N, K) of whole batches, with their tags, at least `GROUP` images at a time but the last."""
    logits: list[Logits] = []
    tags: list[Tag] = []
    count = 0
    for images, tag in batches:
        logits.append(predict(images))
        tags.append(tag)
        count += len(images)
        if count >= GROUP:
            yield np.concatenate(logits), tags
            logits, tags, count = [], [], 0
    if tags:
        yield np.concatenate(logits), tags


def probabilities(logits: NDArray[np.floating], *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the softmax of each row of `logits / temperature`: (B, K) logits to (B, K) shares that sum to 1.

    The largest logit of a row is subtracted first, which changes no share and keeps `exp` from overflowing.

    Raises:
        WorkFailed: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise WorkFailed("the model's output is not finite: its weights are broken")
    exponentials = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def wilson(correct: int, count: int, *, models: int = 1) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of `correct / count` (Wilson 1927, JASA 22, p. 209); it stays in 0..1.

    With `models` above 1 the intervals of so many models hold together with at least 95 % (Bonferroni).
    """
    z = Z95 if models == 1 else NormalDist().inv_cdf(1 - 0.025 / models)
    share, shrink = correct / count, z**2 / count
    centre = (share + shrink / 2) / (1 + shrink)
    half = z * math.sqrt(share * (1 - share) / count + shrink / (4 * count)) / (1 + shrink)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass
class Sums:
    """Counts over batches: images by true class (row) and answer (column), losses, images right in the first five."""

    confusion: Integers
    losses: list[float] = field(default_factory=list)  # of each group, summed over its images
    in_top: int = 0

    @classmethod
    def of(cls, classes: int) -> "Sums":
        """Return the counts before the first image."""
        return cls(np.zeros((classes, classes), dtype=np.int64))

    @property
    def count(self) -> int:
        """The images so far."""
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """The losses added one by one, because the sum of floats depends on the order."""
        return functools.reduce(operator.add, self.losses, 0.0)

    def integers(self, share: Share) -> Integers:
        """Return everything as integers, whose sums over all processes are exact: a loss as its bits, in its place."""
        bits = np.zeros(share.groups, np.int64)
        bits[share.first : share.first + len(self.losses)] = np.array(self.losses, np.float64).view(np.int64)
        return np.concatenate([self.confusion.ravel(), [self.in_top], bits])

    def over(self, share: Share) -> "Sums":
        """Return the sums of all processes."""
        totals = share.add_up(self.integers(share))
        cells = self.confusion.size
        confusion = totals[:cells].reshape(self.confusion.shape)
        return Sums(confusion, totals[cells + 1 :].view(np.float64).tolist(), int(totals[cells]))

    def add(self, logits: Logits, labels: Labels) -> None:
        """Add one batch: logits (B, K), labels (B,)."""
        assert logits.shape == (len(labels), len(self.confusion)), f"{logits.shape} logits for {len(labels)} labels"
        if not np.isfinite(logits).all():
            raise WorkFailed("the model's output is not finite: its weights or its input are broken")
        wide = logits.astype(np.float64)
        # cross-entropy of one image: log(sum(exp(logits))) - logit of the true class; subtracting the largest
        # logit from both changes nothing and keeps exp from overflowing
        true = wide[np.arange(len(wide)), labels, None]
        top = wide.max(axis=1, keepdims=True)
        loss = float((np.log(np.exp(wide - top).sum(axis=1)) - (true - top)[:, 0]).sum())
        self.losses.append(loss)
        # rank of the true class: how many classes have a larger logit, or an equal one and an earlier index
        earlier = np.arange(wide.shape[1]) < labels[:, None]
        rank = ((wide > true) | ((wide == true) & earlier)).sum(axis=1)
        self.in_top += int((rank < TOP).sum())
        np.add.at(self.confusion, (labels, wide.argmax(axis=1)), 1)

    def report(self, classes: Sequence[str], seconds: float) -> EvalReport:
        """Return the metrics of at least one image."""
        diagonal = self.confusion.diagonal()
        correct = int(diagonal.sum())
        counts = zip(classes, self.confusion.sum(axis=1).tolist(), diagonal.tolist(), strict=True)
        return EvalReport(
            top1=correct / self.count,
            top5=self.in_top / self.count if len(classes) >= TOP else None,
            loss=self.loss / self.count,
            count=self.count,
            correct=correct,
            per_class=tuple(_class_report(*row) for row in counts),
            confusion=tuple(tuple(row) for row in self.confusion.tolist()),
            interval=wilson(correct, self.count),
            seconds=seconds,
            images_per_second=self.count / seconds,
        )


def _class_report(name: str, count: int, correct: int) -> ClassReport:
    return ClassReport(name=name, count=count, correct=correct, accuracy=correct / count if count else None)
