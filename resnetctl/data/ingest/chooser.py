"""Choose the split of each image: that of the source, or train and a test split that stays when images are added."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.ingest.earlier import NEW, Earlier, Known, kept_remark
from resnetctl.data.reading.source import Item, Source
from resnetctl.data.split_groups import NO_KEY, Rows, divided, joined
from resnetctl.data.splits import stratified
from resnetctl.errors import DataError
from resnetctl.spec import Split

TEST_FRACTION = 0.2


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """Chooses the split of each item: that of the source, or train and a fixed test split if it has none.

    A place is the number of an image in the order of classes, then of the source.

    Attributes:
        labels: the class of each place.
        start: the first place of each class.
        groups: the group of each place (`data.split_groups.joined`); a group is never divided.
        is_test: by place; None: the source has the splits.
        known: the split of each place in the dataset that is replaced (`Earlier.split_of`); None: none is.
    """

    labels: Rows
    start: Mapping[str, int]
    groups: Rows
    is_test: NDArray[np.bool_] | None
    known: Known | None = None
    seen: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, source: Source, earlier: Earlier | None = None) -> "Chooser":
        """Return the chooser for `source`, which replaces a dataset. Raises `DataError` for splits without train."""
        if source.splits and "train" not in source.splits:
            raise DataError(
                f"there is {' and '.join(source.splits)}, but no train split",
                where=str(source.path),
                hint="name a folder 'train', or put all class folders into one folder",
            )
        by_class: Counter[str] = Counter()
        for (_, label), count in source.counts.items():
            by_class[label] += count
        sizes = [by_class[label] for label in source.classes]
        start = dict(zip(source.classes, np.cumsum([0, *sizes]).tolist(), strict=False))
        labels = np.repeat(np.arange(len(sizes)), sizes)
        plain = cls(labels=labels, start=start, groups=np.arange(len(labels)), is_test=None)
        if source.splits not in ((), ("train",)):
            return plain
        if earlier is not None:
            plain = dataclasses.replace(plain, known=_known(source, plain, earlier=earlier))
        return plain.drawn(_named_groups(source, plain) if source.has_groups else plain.groups)

    def drawn(self, groups: Rows) -> "Chooser":
        """Return a chooser whose test split keeps `groups` together."""
        is_test = np.zeros(len(self.labels), np.bool_)
        rows = stratified(self.labels, TEST_FRACTION, seed=0, purpose="test", groups=groups, known=self.known)
        is_test[rows] = True
        return dataclasses.replace(self, groups=groups, is_test=is_test, seen=Counter())

    def joining(self, groups: Rows, places: Rows) -> "Chooser | None":
        """Return a chooser that also keeps together the `groups` of the images at `places`; None if this one does."""
        if self.is_test is None or not divided(groups, self.is_test[places].astype(np.int64)):
            return None
        keys = np.full(len(self.labels), NO_KEY)
        keys[places] = places[groups]
        return self.drawn(joined(self.groups, keys))

    def fresh(self) -> "Chooser":
        """Return the chooser for another pass."""
        return dataclasses.replace(self, seen=Counter())

    def remark(self, places: Rows) -> str:
        """Return how the test split of the images at `places` was chosen; "": the source has the splits."""
        if self.is_test is None:
            return ""
        if self.known is None:
            return "test: a fixed, stratified 20 % of the images, set aside when they were added"
        return kept_remark(self.known[places], self.is_test[places])

    def place(self, item: Item) -> int:
        """Return the place of the next item of a pass."""
        self.seen[item.label] += 1
        return self.start[item.label] + self.seen[item.label] - 1

    def __call__(self, item: Item) -> tuple[int, Split]:
        """Return the place and the split of the next item of a pass."""
        place = self.place(item)
        if self.is_test is not None:
            return place, "test" if self.is_test[place] else "train"
        assert item.split is not None, "every item of a source with splits has one"
        return place, item.split


def _known(source: Source, chooser: Chooser, *, earlier: Earlier) -> Known:
    """Return the split that each place had before."""
    known = np.full(len(chooser.labels), NEW, np.int8)
    choose = chooser.fresh()
    with closing(source.items()) as items:
        for item in items:
            known[choose.place(item)] = earlier.split_of(item.name, item.read)
    return known


def _named_groups(source: Source, chooser: Chooser) -> Rows:
    """Return the groups of the places of a source whose items name their groups."""
    numbers: dict[str, int] = {}
    keys = np.full(len(chooser.labels), NO_KEY)
    choose = chooser.fresh()
    with closing(source.items()) as items:
        for item in items:
            place = choose.place(item)
            if item.group:
                keys[place] = numbers.setdefault(item.group, len(numbers))
    return joined(keys)
