"""Images of the split whose labels the network doubts, or contradict each other, by their names."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.engine.metrics import probabilities
from resnetctl.report.page import SUSPECTS
from resnetctl.report.pictures import thumbnail
from resnetctl.tasks.near import row_names
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.suspects import MOST, Suspect, named, suspects


def doubted(
    evidence: Evidence, images: ImageSet, *, store: Store, classes: tuple[str, ...], temperature: float
) -> tuple[tuple[Suspect, ...], tuple[bytes, ...]]:
    """Return at most `MOST` suspects, and pictures of those that the page shows.

    An image that is there under two labels comes first: one of them is wrong, whatever the network says.
    """
    shares, labels = probabilities(evidence.logits, temperature=temperature), evidence.labels
    twins = dict(_contradictions(images, labels))
    sure = [(place, int(labels[other])) for place, other in twins.items()]
    found = [item for item in suspects(shares, labels, logits=evidence.logits) if item[0] not in twins]
    found = [*sure, *found][:MOST]
    rows = images.index[[place for place, _ in found]]
    names = row_names(store, images, rows=rows)
    others = [(place, twins[place]) for place, _ in found if place in twins]
    of_others = row_names(store, images, rows=images.index[[other for _, other in others]])
    pictures = tuple(thumbnail(images.images[row]) for row in rows[:SUSPECTS])
    by_place = {place: name for (place, _), name in zip(others, of_others, strict=True)}
    return named(found, shares, labels=labels, classes=classes, names=names, twins=by_place), pictures


def _contradictions(images: ImageSet, labels: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield places of images and of an identical one with another label; nothing for files, which would be decoded."""
    if not isinstance(images.images, np.ndarray):
        return
    same: dict[bytes, list[int]] = {}
    for place, row in enumerate(images.index.tolist()):
        same.setdefault(blake2b(images.images[row].tobytes(), digest_size=16).digest(), []).append(place)
    for places in same.values():
        for place in places:
            other = next((one for one in places if labels[one] != labels[place]), None)
            if other is not None:
                yield place, other
