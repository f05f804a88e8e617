"""Images of test (or val) that train has too: shifted, mirrored, or saved again. `data check` and `report` list them.

The search needs no network, so its result is kept beside the dataset, by digests of both sets.
"""

import contextlib
import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.cards import json_line, manifest_names
from resnetctl.data.checks import SHOWN, Finding
from resnetctl.data.splits import ImageSet, open_eval_set, split_digest
from resnetctl.data.store import Store
from resnetctl.errors import DataError, ResnetctlError
from resnetctl.facts import Progress
from resnetctl.spec import Split
from resnetctl.system import storage
from resnetctl.trust.pictures.near import METHOD, Pair, kept, pairs, thumbnails
from resnetctl.wording import counted

CHUNK = 128  # images that are read at once


@dataclass(frozen=True, kw_only=True)
class NearPair:
    """Two images of different splits that show the same.

    Attributes:
        split: of the first image: test or val.
        name, train: the names of both, as their source has them.
        row, other: the rows of both in the stored splits.
        score: a correlation, at most 1.
    """

    split: Split
    name: str
    train: str
    row: int
    other: int
    score: float
    is_same_class: bool

    def to_json(self) -> dict[str, Any]:
        """Return the names by split, the score, and whether the labels agree."""
        score = round(self.score, 4)
        return {self.split: self.name, "train": self.train, "score": score, "same_class": self.is_same_class}


@dataclass(frozen=True, kw_only=True)
class Near:
    """The pairs between two sets, best first; `is_alike`: images look alike, so only near-identical ones are listed."""

    pairs: tuple[NearPair, ...]
    is_alike: bool


def near_duplicates(store: Store) -> Generator[Progress, None, tuple[list[NearPair], list[Finding]]]:
    """Compare test (val, if there is no test) with train; return the pairs, best first, and findings about them."""
    held_out: list[Split] = [split for split in ("test", "val") if split in store.card.splits]
    if not held_out or "train" not in store.card.splits:
        return [], []
    images = open_eval_set(store, held_out[0], val_split=None)
    found = yield from compare(store, images)
    return list(found.pairs), list(_findings(found, split=images.split, total=len(images)))


def compare(store: Store, images: ImageSet) -> Generator[Progress, None, Near]:
    """Compare a set of images with those of train that are not in it; return the pairs."""
    train = open_eval_set(store, "train", val_split=None)
    if train.store_digest == images.store_digest:  # val is a part of train
        train = replace(train, index=np.setdiff1d(train.index, images.index, assume_unique=True))
    key = hashlib.sha256(json.dumps([METHOD, split_digest(images), split_digest(train)]).encode()).hexdigest()
    path = store.path / f"near-{key[:16]}.json"
    found = _stored(path, images, train)
    if found is None:
        found = []
        for done, new in pairs(_thumbnails(images), _thumbnails(train)):
            found += new
            yield Progress(what=f"comparing {images.split} with train", done=done, total=len(images), unit="images")
        with contextlib.suppress(ResnetctlError):  # a store that cannot be written is searched again
            storage.write(path, json_line({"pairs": [[pair.row, pair.other, pair.score] for pair in found]}))
    listed, is_alike = kept(found, len(images))
    return Near(pairs=tuple(_named(store, listed, images=images, train=train)), is_alike=is_alike)


def _stored(path: Path, images: ImageSet, train: ImageSet) -> list[Pair] | None:
    """Return the pairs of an earlier search, None if there was none or its file is damaged."""
    try:
        lines = storage.read_json(path, error=DataError)["pairs"]
        found = [Pair(row=int(row), other=int(other), score=float(score)) for row, other, score in lines]
    except (DataError, ValueError, TypeError, KeyError):
        return None
    is_sound = all(0 <= pair.row < len(images) and 0 <= pair.other < len(train) for pair in found)
    return found if is_sound and all(0 <= pair.score <= 1 for pair in found) else None


def _thumbnails(images: ImageSet) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, len(images), CHUNK):
        rows = images.index[start : start + CHUNK]
        images.check(rows)
        parts.append(thumbnails(images.images[rows]))
    return np.concatenate(parts)


def _named(store: Store, found: list[Pair], *, images: ImageSet, train: ImageSet) -> list[NearPair]:
    ordered = sorted(found, key=lambda pair: (-pair.score, pair.row, pair.other))
    mine, its = images.index[[pair.row for pair in ordered]], train.index[[pair.other for pair in ordered]]
    names = zip(row_names(store, images, rows=mine), row_names(store, train, rows=its), strict=True)
    same = images.labels[mine] == train.labels[its]
    return [
        NearPair(
            split=images.split,
            name=name,
            train=other,
            row=int(mine[place]),
            other=int(its[place]),
            score=ordered[place].score,
            is_same_class=bool(same[place]),
        )
        for place, (name, other) in enumerate(names)
    ]


def row_names(store: Store, images: ImageSet, *, rows: NDArray[np.int64]) -> list[str]:
    """Return the names of stored rows as their source has them, `test 17` for one without a name."""
    split: Split = images.split if images.split in store.card.splits else "train"
    known = manifest_names(store.path, split, rows=rows.tolist())
    return [known.get(row) or f"{split} {row}" for row in rows.tolist()]


def _findings(found: Near, *, split: str, total: int) -> Generator[Finding, None, None]:
    if found.is_alike:
        yield Finding(
            severity="warning",
            code="images_alike",
            message=f"many images of {split} look like one of train at this size: only near-identical ones are listed",
            count=total,
        )
    listed = found.pairs
    count = len({pair.name for pair in listed})
    if listed:
        first = ", ".join(f"{pair.name} and {pair.train}" for pair in listed[:3])
        yield Finding(
            severity="warning",
            code="near_duplicates",
            message=f"{counted(count, 'image')} of {split} may be in train too, a little changed ({first}"
            + (f" and {len(listed) - 3:,} more)" if len(listed) > 3 else ")"),
            count=count,
            names=tuple(pair.name for pair in listed[:SHOWN]),
        )
