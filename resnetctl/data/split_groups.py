"""Groups of images that must stay in one split: identical images, and rows of a CSV file with one group name.

Images are identical when their stored pixels are equal, whatever their files. A network that trained on one of them
has seen the other, so a test split with its twin would measure memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.reading.decode import Pixels
from resnetctl.wording import counted

Rows = NDArray[np.int64]
IDENTICAL = "identical images"
ONE_SIDED = "classes without an image in"  # train, or test
NO_KEY = -1  # an image that shares no key with another


def pixel_key(image: Pixels) -> int:
    """Return 63 bits of a digest of the pixels. In a million images, two share a key by chance in 1 of 10^7 cases."""
    return int.from_bytes(blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()) >> 1


def joined(*keys: Sequence[int] | Rows) -> Rows:
    """Return the group of each image, as the first image of the group.

    Args:
        keys: each `(N,)` int64; images with an equal key in one of them are in one group, unless it is `NO_KEY`.
    """
    above: dict[int, int] = {}  # image -> an earlier one of its group
    for values in keys:
        key = np.asarray(values, np.int64)
        order = np.argsort(key, kind="stable")
        is_same = (key[order[1:]] == key[order[:-1]]) & (key[order[1:]] != NO_KEY)
        for first, second in zip(order[:-1][is_same].tolist(), order[1:][is_same].tolist(), strict=True):
            one, other = _first(above, first), _first(above, second)
            above[max(one, other)] = min(one, other)
            above.setdefault(min(one, other), min(one, other))
    groups = np.arange(len(keys[0]), dtype=np.int64)
    for image in above:
        groups[image] = _first(above, image)
    return groups


def sizes(groups: Rows) -> Rows:
    """Return the number of images in each group of two or more, by its first image."""
    counts = np.bincount(groups)
    return counts[counts > 1]


def divided(groups: Rows, splits: Rows) -> int:
    """Return the number of groups that are in more than one split, or class. `splits` has that of each image."""
    return len(np.unique(groups[splits != splits[groups]]))


@dataclass(frozen=True, kw_only=True)
class Twins:
    """The identical images of a dataset: the images in each group, and how many groups are in two splits or classes."""

    sizes: tuple[int, ...]
    divided: int
    relabelled: int = 0

    def note(self) -> str:
        """Return a sentence for the user; "" without identical images."""
        if not self.sizes:
            return ""
        if max(self.sizes) == 2:
            said, one = f"{counted(len(self.sizes), 'pair')} of {IDENTICAL}", "pair"
        else:
            said, one = f"{sum(self.sizes):,} {IDENTICAL} in {counted(len(self.sizes), 'group')}", "group"
        if self.divided:
            said += f"; {counted(self.divided, one)} in two splits, where accuracy will be too good"
        else:
            said += f", each {one} in one split"
        return f"{said}; {counted(self.relabelled, one)} in two classes" if self.relabelled else said


def choose(
    labels: Rows, keys: NDArray[np.uint64], *, groups: Rows, wanted: list[int], left: list[int] | None = None
) -> Rows:
    """Choose whole groups until each class has about `wanted` images; never all images of a class.

    Groups are tried in the order of the keys of their first images. A group is taken if this brings the counts closer
    to `wanted`. A class that would get no image takes its smallest group. Without groups of two or more, these are
    exactly the `wanted` images of each class with the smallest keys.

    Args:
        labels, keys, groups: `(N,)`, by image.
        wanted: images to choose, by class.
        left: images of each class that are not chosen, with those that are not offered; None: all are offered.

    Returns:
        Ascending int64 rows.
    """
    first = np.unique(groups)
    members = _members(groups)
    order = [members.get(image) or [image] for image in first[np.argsort(keys[first], kind="stable")].tolist()]
    left = np.bincount(labels, minlength=len(wanted)).tolist() if left is None else left
    choice = _Choice(labels=labels.tolist(), wanted=wanted, left=left)
    rest = [images for images in order if not choice.take(images)]
    for images in sorted(rest, key=len):
        choice.take(images, is_last_chance=True)
    return np.sort(np.array(choice.chosen, np.int64))


@dataclass(kw_only=True)
class _Choice:
    """The images chosen so far: by class, `need` are still wanted and `left` are not chosen."""

    labels: list[int]
    wanted: list[int]
    left: list[int]
    chosen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.need = list(self.wanted)

    def take(self, images: list[int], *, is_last_chance: bool = False) -> bool:
        """Choose all `images` or none; return whether they were chosen."""
        need, left = self.need, self.left
        counts = Counter([self.labels[image] for image in images])
        gain = sum(abs(need[label]) - abs(need[label] - count) for label, count in counts.items())
        is_missed = is_last_chance and any(0 < self.wanted[label] == need[label] for label in counts)
        if not (gain > 0 or is_missed) or any(left[label] <= count for label, count in counts.items()):
            return False
        for label, count in counts.items():
            need[label] -= count
            left[label] -= count
        self.chosen.extend(images)
        return True


def within(groups: Rows, is_inside: NDArray[np.bool_]) -> Rows | None:
    """Return the groups of the images of one split, as rows of this split; None if no two images are together."""
    inside = groups[is_inside]
    _, first, number = np.unique(inside, return_index=True, return_inverse=True)
    return first[number] if len(first) < len(inside) else None


def _members(groups: Rows) -> dict[int, list[int]]:
    """Return the images of each group of two or more, by its first image."""
    members: dict[int, list[int]] = {}
    is_shared = np.bincount(groups, minlength=len(groups))[groups] > 1
    for image in np.flatnonzero(is_shared).tolist():
        members.setdefault(int(groups[image]), []).append(image)
    return members


def _first(above: dict[int, int], image: int) -> int:
    while (earlier := above.get(image, image)) != image:
        above[image] = above.get(earlier, earlier)
        image = earlier
    return image
