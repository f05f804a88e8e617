"""Images of the split whose labels the network doubts, by their names."""

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
    """Return at most `MOST` suspects, and pictures of those that the page shows."""
    shares = probabilities(evidence.logits, temperature=temperature)
    found = suspects(shares, evidence.labels)[:MOST]
    rows = images.index[[place for place, _ in found]]
    names = row_names(store, images, rows=rows)
    pictures = tuple(thumbnail(images.images[row]) for row in rows[:SUSPECTS])
    return named(found, shares, labels=evidence.labels, classes=classes, names=names), pictures
