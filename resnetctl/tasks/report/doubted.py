"""Images of the split whose labels the network doubts, by their names."""

import numpy as np

from resnetctl.data.cards import manifest_names
from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.scores import softmax
from resnetctl.trust.suspects import MOST, Suspect, named, suspects


def doubted(
    evidence: Evidence, images: ImageSet, *, store: Store, classes: tuple[str, ...], temperature: float
) -> tuple[Suspect, ...]:
    """Return at most `MOST` suspects. An image without a name in its source is called by split and row."""
    shares = softmax(evidence.logits / np.float64(temperature))
    found = suspects(shares, evidence.labels)[:MOST]
    stored = images.split if images.split in store.card.splits else "train"
    rows = [int(images.index[place]) for place, _ in found]
    known = manifest_names(store.path, stored, rows=rows)
    names = [known.get(row) or f"{stored} {row}" for row in rows]
    return named(found, shares, labels=evidence.labels, classes=classes, names=names)
