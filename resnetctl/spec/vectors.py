"""The numbers that come with each image, and how a network reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnetctl.spec.base import Card

MAX_COLUMNS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class VectorSpec(Card):
    """The numbers that come with each image, and their preprocessing: a network reads `(number - mean) / std`.

    Args:
        columns: their names, in order.
        mean, std: measured on the train split, one for each column. A column with `std` 0 has one value there, so it
            teaches nothing: a network reads 0.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        self._freeze(tuples=("columns",))
        self._put(mean=tuple(map(float, self.mean)), std=tuple(map(float, self.std)))
        if not 1 <= len(self.columns) <= MAX_COLUMNS or len(set(self.columns)) != len(self.columns):
            raise ValueError(f"{len(self.columns)} columns are not 1 to {MAX_COLUMNS:,} with different names")
        if not len(self.columns) == len(self.mean) == len(self.std):
            raise ValueError(f"mean and std need one value for each of {len(self.columns)} columns")
        if min(self.std) < 0 or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError("mean and std must be numbers, and std must be 0 or more")

    @property
    def constant(self) -> list[str]:
        """The columns with one value in train."""
        return [name for name, value in zip(self.columns, self.std, strict=True) if not value]

    @property
    def scale(self) -> tuple[float, ...]:
        """What the centred numbers are multiplied by: `1 / std`, and 0 where `std` is 0."""
        return tuple(1 / value if value else 0.0 for value in self.std)
