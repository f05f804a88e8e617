"""Labels that the network doubts, by confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70, p. 1373).

A class is likely for an image if its probability is at least the mean probability of this class among the images that
have its label. An image is suspect if its most probable likely class is not its label. The network must not have seen
the images in training. A suspect may be a wrong label, an unusual image, or a mistake of the network: only a person can
tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card

MOST = 100  # suspects that are listed


@dataclass(frozen=True, kw_only=True)
class Suspect(Card):
    """An image whose label is doubted.

    Attributes:
        name: of the image, as its source has it.
        label, predicted: the class that it has, and the one that is likely.
        own, probability: the probabilities of these two.
        twin: the name of the identical image that has the label `predicted`; None if there is none.
    """

    name: str
    label: str
    predicted: str
    own: float
    probability: float
    twin: str | None = None


def suspects(
    shares: NDArray[np.float64], labels: NDArray[np.int64], *, logits: NDArray[np.floating]
) -> list[tuple[int, int]]:
    """Return places and likely classes of suspect images, the largest difference of both logits first.

    Logits rank better than probabilities, which are all close to 0 and 1 for a network that is too sure of itself: of
    100 wrong labels among 10,000, 57 to 61 of the first 100 suspects instead of 44 to 46 (see `benchmarks/trust.md`).

    Args:
        shares: (N, K) probabilities of images that training did not see.
        labels: (N,) their labels. A class without images is never likely.
        logits: (N, K) that the probabilities were made from.
    """
    rows = np.arange(len(labels))
    counts = np.bincount(labels, minlength=shares.shape[1])
    sums = np.bincount(labels, weights=shares[rows, labels], minlength=shares.shape[1])
    limits = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    likely = np.where(shares >= limits, shares, -1.0)
    predicted = likely.argmax(axis=1)
    is_suspect = (
        (likely[rows, predicted] > 0) & (predicted != labels) & (shares[rows, predicted] > shares[rows, labels])
    )
    found = np.flatnonzero(is_suspect)
    gaps = logits[found, predicted[found]].astype(np.float64) - logits[found, labels[found]]
    order = found[np.argsort(-gaps, kind="stable")]
    return list(zip(order.tolist(), predicted[order].tolist(), strict=True))


def named(
    found: Sequence[tuple[int, int]],
    shares: NDArray[np.float64],
    *,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    names: Sequence[str],
    twins: Mapping[int, str],
) -> tuple[Suspect, ...]:
    """Return suspects with the names of their images (as many as `found`) and classes; `twins` has names by place."""
    return tuple(
        Suspect(
            name=name,
            label=classes[labels[place]],
            predicted=classes[predicted],
            own=float(shares[place, labels[place]]),
            probability=float(shares[place, predicted]),
            twin=twins.get(place),
        )
        for (place, predicted), name in zip(found, names, strict=True)
    )
