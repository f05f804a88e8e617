"""The images of a dataset that is about to be replaced, so that none of them moves from train into test.

A test that is drawn again when photos are added holds images that earlier networks have trained on, and numbers before
and after cannot be compared. So an image keeps its split, and only new images are drawn.
"""

import contextlib
import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.cards import MANIFEST, MAX_LINE, read_card
from resnetctl.data.reading.decode import BadImage
from resnetctl.errors import DataError
from resnetctl.spec import DatasetCard
from resnetctl.system.plain_files import open_regular
from resnetctl.wording import counted

TRAIN, TEST, NEW = 0, 1, -1
KEPT = 20  # replaced datasets that a card names
Known = NDArray[np.int8]  # (N,), TRAIN, TEST or NEW by image; val counts as train, because networks were chosen on it


@dataclass(frozen=True, kw_only=True)
class _Index:
    """Keys of images, ascending, and whether each image was test."""

    keys: NDArray[np.uint64]
    is_test: NDArray[np.bool_]
    is_found: NDArray[np.bool_]

    @classmethod
    def of(cls, keys: "array[int]", is_test: NDArray[np.bool_]) -> "_Index":
        """Return the index; of equal keys the first that is train counts."""
        numbers = np.frombuffer(keys, np.uint64)
        order = np.lexsort((is_test, numbers))
        numbers, is_test = numbers[order], is_test[order]
        is_first = np.append(True, numbers[1:] != numbers[:-1])
        return cls(keys=numbers[is_first], is_test=is_test[is_first], is_found=np.zeros(int(is_first.sum()), np.bool_))

    def find(self, key: int) -> int:
        """Return TRAIN, TEST or NEW."""
        place = int(np.searchsorted(self.keys, np.uint64(key)))
        if place == len(self.keys) or self.keys[place] != key:
            return NEW
        self.is_found[place] = True
        return int(self.is_test[place])


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The images of a dataset by the SHA-256 of their files, and by their names; 18 bytes for each image and index."""

    card: DatasetCard
    by_digest: _Index
    by_name: _Index

    @classmethod
    def of(cls, data_dir: Path, name: str) -> "Earlier | None":
        """Return the images of dataset `name`; None if there is none, or if it has no test or cannot be read."""
        digests, names, is_test = array("Q"), array("Q"), array("b")
        damage = (DataError, OSError, ValueError, KeyError, TypeError, RecursionError)
        with contextlib.suppress(*damage):
            card = read_card(data_dir, name)
            with open_regular(data_dir / name / MANIFEST, error=DataError) as file:
                while line := file.readline(MAX_LINE):
                    entry = json.loads(line)
                    digests.append(_digest_key(entry["sha256"]))
                    names.append(_name_key(entry["name"]))
                    is_test.append(entry["split"] == "test")
            chosen = np.frombuffer(is_test, np.int8) == 1
            if "test" in card.splits and len(chosen) == sum(card.splits.values()):
                return cls(card=card, by_digest=_Index.of(digests, chosen), by_name=_Index.of(names, chosen))
        return None

    def split_of(self, name: str, read: Callable[[], bytes]) -> int:
        """Return TRAIN, TEST or NEW: the image has the same bytes, or else the same name."""
        try:
            found = self.by_digest.find(_digest_key(sha256(read()).hexdigest()))
        except BadImage:
            found = NEW
        return self.by_name.find(_name_key(name)) if found == NEW else found

    def replaced(self) -> dict[str, bool]:
        """Return `DatasetCard.replaced` of the dataset that replaces this one. Call it when all images were found."""
        is_whole = bool(self.by_digest.is_found[~self.by_digest.is_test].all())
        older = {digest: is_whole for digest, was_whole in self.card.replaced.items() if was_whole}
        newest = {**older, self.card.digests.get("train", ""): is_whole}
        return dict(islice(newest.items(), max(0, len(newest) - KEPT), None))


def kept_remark(known: Known, is_test: NDArray[np.bool_]) -> str:
    """Return what a user must know of a test split that was kept."""
    is_new = known == NEW
    images, new, joined = counted(len(known), "image"), int(is_new.sum()), int((is_new & is_test).sum())
    return f"test: kept from the dataset that was replaced; {new:,} of {images} are new, {joined:,} of them in test"


def _digest_key(digest: str) -> int:
    return int(digest[:16], 16)


def _name_key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="backslashreplace"), digest_size=8).digest(), "little")
