"""Images of the measured split that train has too, and the accuracy without them."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.facts import Progress
from resnetctl.report.page import PAIRS
from resnetctl.report.pictures import thumbnail
from resnetctl.tasks.near import NearPair, compare
from resnetctl.trust.evidence import Evidence
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Pairs of a measured image and one of train.

    Attributes:
        pairs: best first.
        images: measured images that have a pair.
        is_alike: whether many images look alike at this size, so that only near-identical ones are listed.
        accuracy_without: on the images without a pair; None if every image has one.
    """

    pairs: tuple[NearPair, ...]
    images: int
    is_alike: bool
    accuracy_without: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the pairs by name, and the numbers."""
        numbers = {"images": self.images, "images_alike": self.is_alike, "accuracy_without": self.accuracy_without}
        return {"pairs": [pair.to_json() for pair in self.pairs], **numbers}


def said(found: Duplicates, split: str) -> Iterator[str]:
    """Yield what a reader must know about the pairs."""
    if found.is_alike:
        yield f"many images of {split} look like one of train at this size: only near-identical ones are listed"
    if found.images:
        share = found.accuracy_without
        without = "" if share is None else f"; the accuracy without them is {100 * share:.2f} %"
        yield f"{counted(found.images, 'image')} of {split} may be in train too, a little changed{without}"


def pair_pictures(found: Duplicates, images: ImageSet, *, store: Store) -> tuple[tuple[bytes, bytes], ...]:
    """Return the pictures of the pairs that the page shows: the measured image, and the one of train."""
    train = store.split("train").images
    return tuple((thumbnail(images.images[pair.row]), thumbnail(train[pair.other])) for pair in found.pairs[:PAIRS])


def duplicates(store: Store, images: ImageSet, *, measured: Evidence) -> Generator[Progress, None, Duplicates]:
    """Search train for the measured images; yield progress."""
    found = yield from compare(store, images)
    is_listed = np.isin(images.index, [pair.row for pair in found.pairs])
    rest = measured.correct[~is_listed]
    return Duplicates(
        pairs=found.pairs,
        images=int(is_listed.sum()),
        is_alike=found.is_alike,
        accuracy_without=float(rest.mean()) if len(rest) else None,
    )
