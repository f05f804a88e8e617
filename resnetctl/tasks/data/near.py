"""`data check --near`: images of test (or val) that train has too, shifted, mirrored, or saved again."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.cards import manifest_names
from resnetctl.data.checks import SHOWN, Finding
from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.data.store import Store
from resnetctl.facts import Progress
from resnetctl.spec import Split
from resnetctl.trust.pictures.near import Pair, kept, pairs, thumbnails
from resnetctl.wording import counted

CHUNK = 2048  # images that are read at once


@dataclass(frozen=True, kw_only=True)
class NearPair:
    """Two images of different splits that show the same. `split` is test or val; `score` is a correlation up to 1."""

    split: Split
    name: str
    train: str
    score: float
    is_same_class: bool

    def to_json(self) -> dict[str, Any]:
        """Return the names by split, the score, and whether the labels agree."""
        score = round(self.score, 4)
        return {self.split: self.name, "train": self.train, "score": score, "same_class": self.is_same_class}


def near_duplicates(store: Store) -> Generator[Progress, None, tuple[list[NearPair], list[Finding]]]:
    """Compare test (val, if there is no test) with train; return the pairs, best first, and findings about them."""
    held_out: list[Split] = [split for split in ("test", "val") if split in store.card.splits]
    if not held_out or "train" not in store.card.splits:
        return [], []
    split = held_out[0]
    images, train = (open_eval_set(store, name, val_split=None) for name in (split, "train"))
    found: list[Pair] = []
    for done, new in pairs(_thumbnails(images), _thumbnails(train)):
        found += new
        yield Progress(what=f"comparing {split} with train", done=done, total=len(images), unit="images")
    listed, is_alike = kept(found, len(images))
    named = _named(store.path, listed, images=images, train=train)
    return named, list(_findings(named, split=split, total=len(images), is_alike=is_alike))


def _thumbnails(images: ImageSet) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, len(images), CHUNK):
        rows = images.index[start : start + CHUNK]
        images.check(rows)
        parts.append(thumbnails(images.images[rows]))
    return np.concatenate(parts)


def _named(folder: Path, found: list[Pair], *, images: ImageSet, train: ImageSet) -> list[NearPair]:
    mine = manifest_names(folder, images.split, rows={pair.row for pair in found})
    its = manifest_names(folder, "train", rows={pair.other for pair in found})
    return [
        NearPair(
            split=images.split,
            name=mine.get(pair.row, f"{images.split} {pair.row}"),
            train=its.get(pair.other, f"train {pair.other}"),
            score=pair.score,
            is_same_class=bool(images.labels[pair.row] == train.labels[pair.other]),
        )
        for pair in sorted(found, key=lambda pair: (-pair.score, pair.row, pair.other))
    ]


def _findings(found: list[NearPair], *, split: str, total: int, is_alike: bool) -> Generator[Finding, None, None]:
    if is_alike:
        yield Finding(
            severity="warning",
            code="images_alike",
            message=f"many images of {split} look like one of train at this size: only near-identical ones are listed",
            count=total,
        )
    count = len({pair.name for pair in found})
    if found:
        first = ", ".join(f"{pair.name} and {pair.train}" for pair in found[:3])
        yield Finding(
            severity="warning",
            code="near_duplicates",
            message=f"{counted(count, 'image')} of {split} may be in train too, a little changed ({first}"
            + (f" and {len(found) - 3:,} more)" if len(found) > 3 else ")"),
            count=count,
            names=tuple(pair.name for pair in found[:SHOWN]),
        )
