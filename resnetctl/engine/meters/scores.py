"""What each image was given, and how well each class is ranked: area under ROC and average precision. No torch.

Shapes: N images, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import Labels, Logits, probabilities
from resnetctl.spec import Card

POINTS, MOST_POINTS = 25, 2500  # of the curves: of one class, and of all classes together
CHEAP = 10_000_000  # probabilities (N x K) up to which every class is ranked: a second of sorting


@dataclass(frozen=True, kw_only=True)
class ClassRanking(Card):
    """How well the probability of one class ranks its images before all others; fractions are 0..1.

    A class without images, or without other images, has None everywhere.

    Attributes:
        roc_auc: area under the ROC curve: the chance that an image of the class has a higher probability than another
            image, a tie counting half (Hanley & McNeil 1982, Radiology 143, p. 29).
        average_precision: sum over the thresholds of (recall - recall before) * precision, without interpolation.
        threshold: the probability at which "at least this much" has the best F1.
        precision, recall: at this threshold.
        curve: points of the ROC and the precision-recall curve, the highest threshold first: lists of `threshold`,
            `recall` (the true positive rate), `precision` and `false_positive_rate`. At most 25 points, spread evenly
            over the ROC curve; None above 833 classes.
    """

    name: str
    roc_auc: float | None = None
    average_precision: float | None = None
    threshold: float | None = None
    precision: float | None = None
    recall: float | None = None
    curve: Mapping[str, tuple[float, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """What one image was given: `place` counts the measured images from 0, `probability` is that of its label."""

    place: int
    label: str
    predicted: str
    probability: float
    loss: float


@dataclass
class Scores:
    """Collects what each image was given: pass its `add` to `measure` as `each`.

    Attributes:
        classes: the K class names in the order of the logits.
        temperature: probabilities are softmax(logits / temperature). Losses are those of the logits, as in training.
    """

    classes: Sequence[str]
    temperature: float = 1.0
    _labels: list[Labels] = field(default_factory=list)
    _predicted: list[Labels] = field(default_factory=list)
    _shares: list[NDArray[np.float64]] = field(default_factory=list)  # of the true class
    _losses: list[NDArray[np.float64]] = field(default_factory=list)
    _all_shares: list[NDArray[np.float32]] = field(default_factory=list)  # emptied when there are more than `CHEAP`
    _count: int = 0

    def add(self, logits: Logits, labels: Labels) -> None:
        """Add a batch: logits (B, K), labels (B,)."""
        shares, rows = probabilities(logits, temperature=self.temperature), np.arange(len(labels))
        wide = logits.astype(np.float64)
        top = wide.max(axis=1)
        self._labels.append(labels)
        self._predicted.append(logits.argmax(axis=1))
        self._shares.append(shares[rows, labels])
        # as in `measure`: log(sum(exp(logits))) - logit of the true class; a log of the share could be infinite
        self._losses.append(np.log(np.exp(wide - top[:, None]).sum(axis=1)) - (wide[rows, labels] - top))
        self._count += len(labels)
        if self._count * len(self.classes) <= CHEAP:
            self._all_shares.append(shares.astype(np.float32))
        else:
            self._all_shares.clear()

    def images(self) -> list[ImageScore]:
        """Return what each image was given, the largest loss first."""
        columns = [np.concatenate(parts) for parts in (self._labels, self._predicted, self._shares, self._losses)]
        labels, predicted, shares, losses = columns
        return [
            ImageScore(
                place=int(place),
                label=self.classes[labels[place]],
                predicted=self.classes[predicted[place]],
                probability=float(shares[place]),
                loss=float(losses[place]),
            )
            for place in np.argsort(-losses, kind="stable")
        ]

    def rankings(self) -> tuple[ClassRanking, ...] | None:
        """Return the ranking of each class; None when there are more than `CHEAP` probabilities."""
        if not self._all_shares:
            return None
        labels, shares = np.concatenate(self._labels), np.concatenate(self._all_shares)
        points = min(POINTS, MOST_POINTS // len(self.classes))
        return tuple(
            rank(name, shares[:, place], positive=labels == place, points=points)
            for place, name in enumerate(self.classes)
        )


def rank(name: str, scores: NDArray[Any], *, positive: NDArray[np.bool_], points: int = POINTS) -> ClassRanking:
    """Return the ranking of one class against all others.

    Args:
        scores: (N,) the probability of the class.
        positive: (N,) whether an image is of the class.
        points: the most points of its curve; below 3 it has none.
    """
    of_class = int(positive.sum())
    others = len(positive) - of_class
    if not of_class or not others:
        return ClassRanking(name=name)
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last place of each threshold
    hits = positive[order].cumsum()[ends]
    taken = ends + 1
    new_hits, new_misses = np.diff(hits, prepend=0), np.diff(taken - hits, prepend=0)
    shown = spread(hits / of_class + (taken - hits) / others, points)
    columns = {
        "threshold": scores[order][ends],
        "recall": hits / of_class,
        "precision": hits / taken,
        "false_positive_rate": (taken - hits) / others,
    }
    best = int(np.argmax(2 * hits / (of_class + taken)))  # F1 = 2 hits / (images of the class + images taken)
    return ClassRanking(
        name=name,
        roc_auc=float((new_misses * (hits - new_hits / 2)).sum() / (of_class * others)),  # trapezoids
        average_precision=float((new_hits / of_class * hits / taken).sum()),
        threshold=float(scores[order][ends[best]]),
        precision=float(hits[best] / taken[best]),
        recall=float(hits[best] / of_class),
        curve={key: _rounded(values[shown]) for key, values in columns.items()} if shown else None,
    )


def _rounded(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(np.round(values.astype(np.float64), 6).tolist())


def spread(way: NDArray[np.float64], count: int) -> list[int]:
    """Return the places of at most `count` points, the first and the last among them; [] for fewer than 3.

    Args:
        way: (P,) rising: how far along the curve each point lies. The chosen ones are about equally far apart.
    """
    if count < 3:
        return []
    places: list[int] = np.unique(np.searchsorted(way, np.linspace(way[0], way[-1], count))).tolist()
    return places
