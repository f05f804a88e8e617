"""What val chose for a classifier: its temperature, its prediction sets, and what is familiar. Imports no torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnetctl.spec.base import Card, without


@dataclass(frozen=True, kw_only=True)
class Familiar(Card):
    """What the features of known images look like, and how far away an image is unlike anything in training.

    Args:
        means: for each class that val has, the direction of its mean feature: int8 numbers in base64, one a feature.
            With many classes, near ones share a mean.
        limit: the largest distance to the nearest mean, between directions of length 1.
        level: share of known images within the limit.
    """

    means: tuple[str, ...]
    limit: float
    level: float

    def __post_init__(self) -> None:
        self._freeze(tuples=("means",))
        try:
            lengths = {len(base64.b64decode(mean, validate=True)) for mean in self.means}
        except ValueError:
            lengths = set()
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError("'means' are not base64 texts with one length")
        if not (0 <= self.limit <= 2 and 0 < self.level < 1):
            raise ValueError("'limit' is not in 0..2, or 'level' is not in 0..1")

    @property
    def width(self) -> int:
        """The number of features."""
        return len(base64.b64decode(self.means[0]))


@dataclass(frozen=True, kw_only=True)
class Calibration(Card):
    """How logits become probabilities and prediction sets, as images of val chose it.

    Args:
        temperature: probabilities are `softmax(logits / temperature)` (Guo et al. 2017, arXiv:1706.04599).
        sets: level, e.g. `"0.9"`, to the smallest probability of a class in a prediction set of this level.
        images: number of images that chose them.
        split: the split of these images.
        familiar: what tells images of another kind; None without features.
        thresholds: for several labels an image: the probability from which each class is an answer.
    """

    temperature: float
    sets: Mapping[str, float]
    images: int
    split: str = "val"
    familiar: Familiar | None = None
    thresholds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; without `thresholds` where an image has one label."""
        return without(super().to_json(), "thresholds", default=[])

    def __post_init__(self) -> None:
        self._freeze(tuples=("thresholds",), tables=("sets",))
        if isinstance(self.familiar, Mapping):
            self._put(familiar=Familiar.from_json(self.familiar))
        if not self.temperature > 0:
            raise ValueError(f"'temperature' is {self.temperature:g}, not above 0")
        if not all(0 < float(level) < 1 and 0 <= least <= 1 for level, least in self.sets.items()):
            raise ValueError("'sets' has a level or a threshold outside 0..1")
        if not all(0 <= least <= 1 for least in self.thresholds):
            raise ValueError("'thresholds' has a number outside 0..1")
