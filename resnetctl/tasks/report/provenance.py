"""Where the numbers of a report come from: the files and data that decide them, and the epochs of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnetctl import __version__
from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.runs import RunDir
from resnetctl.runs.log import with_speed
from resnetctl.runs.staged import made_by
from resnetctl.spec import WeightsCard


def epochs(run: RunDir | None) -> tuple[Mapping[str, Any], ...]:
    """Return the epochs of a run with their numbers and speed; () for a file that is no run."""
    return () if run is None else tuple(with_speed(run.metrics(), run.timings()))


def compressed(run: RunDir | None) -> Mapping[str, Any]:
    """Return the report of `compress` if it made the run and has stages; {} otherwise. Raises `InputError`."""
    document = {} if run is None else made_by(run)
    return document if document.get("stages") else {}


def provenance(card: WeightsCard, target: Path, *, store: Store, images: ImageSet, weights: str) -> dict[str, str]:
    """Return names and values of everything that decides the numbers."""
    values = {
        "file": str(target),
        "weights, classes and preprocessing (SHA-256)": weights,
        "architecture": f"{card.arch.name}, {len(card.classes)} classes, {card.image.size} px",
        "head": "" if card.head is None else card.head.name,
        "trained on": card.trained_on.get("name", ""),
        "config (SHA-256)": card.config_sha256,
        "dataset": store.card.name,
        "images of this split (SHA-256)": images.store_digest,
        "license of the dataset": store.card.licence,
        "resnetctl": __version__,
    }
    return {name: value for name, value in values.items() if value}
