"""The checks of `data check`, for a source before it is added and for a stored dataset."""

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np

from resnetctl.data.cards import manifest_names
from resnetctl.data.reading.decode import BadImage, open_image
from resnetctl.data.reading.source import Source
from resnetctl.data.store import Store, StoredSplit
from resnetctl.errors import DataError
from resnetctl.spec import SPLITS
from resnetctl.system import storage

FEW = 10  # images; a class with fewer is a warning
UNEQUAL = 3  # ratio of the largest to the smallest class from which on it is a warning
SHOWN = 20  # names that a finding lists
_REPORT_EVERY = 200  # images
Severity = Literal["error", "warning"]
_Place = tuple[str, str, str]  # split, class, name
_Twins = tuple[str, str]  # names


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem of `count` images or classes; `names` lists the first. Scripts can rely on `code`."""

    severity: Severity
    code: str
    message: str
    count: int
    names: tuple[str, ...] = ()


@dataclass
class Auditor:
    """Collects findings. It keeps a digest of 16 bytes per image to find duplicates."""

    findings: list[Finding] = field(default_factory=list)
    _seen: dict[bytes, _Place] = field(default_factory=dict)
    _across: list[_Twins] = field(default_factory=list)
    _relabelled: list[_Twins] = field(default_factory=list)
    _within: list[_Twins] = field(default_factory=list)
    _unreadable: list[str] = field(default_factory=list)

    def add(self, severity: Severity, code: str, *, message: str, names: list[str]) -> None:
        """Record a finding about `names`, unless there are none. The message counts them and lists three."""
        if names:
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            text = f"{message}: {len(names):,} ({', '.join(names[:3])}{more})"
            finding = Finding(severity=severity, code=code, message=text, count=len(names), names=tuple(names[:SHOWN]))
            self.findings.append(finding)

    def see(self, content: bytes, *, split: str, label: str, name: str) -> None:
        """Compare the bytes of one image with those of all earlier images."""
        first = self._seen.setdefault(blake2b(content, digest_size=16).digest(), (split, label, name))
        if first == (split, label, name):
            return
        pair = first[2], name
        if first[0] != split:
            self._across.append(pair)
        elif first[1] != label:
            self._relabelled.append(pair)
        else:
            self._within.append(pair)

    def cannot_read(self, reason: str) -> None:
        """Record an image that cannot be read."""
        self._unreadable.append(reason)

    def twins(self) -> list[str]:
        """Return the names of duplicate images, as many as the findings list."""
        return [
            name for pairs in (self._across, self._relabelled, self._within) for pair in pairs[:SHOWN] for name in pair
        ]

    def conclude(self, counts: Mapping[str, Mapping[str, int]], names: Mapping[str, str] | None = None) -> None:
        """Turn the recorded problems into findings.

        Args:
            counts: images by class and split.
            names: names to show instead of the recorded ones.
        """
        better = names or {}

        def listed(pairs: list[_Twins]) -> list[str]:
            return [" = ".join(better.get(name, name) for name in pair) for pair in pairs]

        self.add("error", "unreadable", message="images that cannot be read", names=self._unreadable)
        self.add(
            "error", "duplicates-across-splits", message="the same image in two splits", names=listed(self._across)
        )
        self.add(
            "warning", "two-classes", message="the same image in two classes of a split", names=listed(self._relabelled)
        )
        self.add("warning", "duplicates", message="the same image twice in a class", names=listed(self._within))
        classes = [str(name) for name in counts]
        self.add("error", "one-class", message="there is only one class", names=classes if len(classes) == 1 else [])
        has_splits = any("train" in by_split for by_split in counts.values())
        untrained = [label for label, by_split in counts.items() if has_splits and not by_split.get("train")]
        totals = {label: sum(by_split.values()) for label, by_split in counts.items()}
        self.without_training(untrained, totals=totals, unit="images")
        self._balance(counts, part="train" if has_splits else "")
        few = [f"{label}: {total}" for label, total in totals.items() if 0 < total < FEW]
        self.add("warning", "few-images", message=f"classes with fewer than {FEW} images", names=few)

    def without_training(self, names: list[str], *, totals: Mapping[str, int], unit: str) -> None:
        """Record classes that train has not: a class that no split has does no harm, and is a warning.

        Args:
            totals: images or objects of each class in all splits; `unit` says which.
        """
        unseen = [name for name in names if totals[name]]
        unused = [name for name in names if not totals[name]]
        self.add("error", "empty-class", message=f"classes without training {unit}", names=unseen)
        self.add("warning", "unused-class", message=f"classes without any {unit}, never learned", names=unused)

    def _balance(self, counts: Mapping[str, Mapping[str, int]], *, part: str) -> None:
        """Record a finding when the largest class has `UNEQUAL` times the images of the smallest.

        Args:
            part: the split to look at; "": all images.
        """
        sizes = {label: by_split.get(part, 0) if part else sum(by_split.values()) for label, by_split in counts.items()}
        order = sorted((label for label in sizes if sizes[label]), key=lambda label: -sizes[label])
        if len(order) < 2 or sizes[order[0]] < UNEQUAL * sizes[order[-1]]:
            return
        ends = [f"{label}: {sizes[label]:,}" for label in (order[0], order[-1])]
        ratio, share = sizes[order[0]] / sizes[order[-1]], sizes[order[0]] / sum(sizes.values())
        text = (
            f"classes of unequal size: {f'{ratio:.1f}'.removesuffix('.0')} to 1 ({', '.join(ends)}); "
            f"always answering '{order[0]}' is right for {100 * share:.1f} % of the images"
        )
        self.findings.append(
            Finding(severity="warning", code="imbalance", message=text, count=len(order), names=tuple(ends))
        )


def check_source(source: Source, auditor: Auditor) -> Generator[int, None, None]:
    """Decode every image of a source and record problems; yield the number of images done."""
    with closing(source.items()) as items:
        for done, item in enumerate(items, start=1):
            try:
                data = item.read()
                open_image(data, item.name)
                auditor.see(data, split=item.split or "", label=item.label, name=item.name)
            except BadImage as error:
                auditor.cannot_read(error.headline)
            if done % _REPORT_EVERY == 0:
                yield done
    counts: dict[str, Counter[str]] = {label: Counter() for label in source.classes}
    for (split, label), count in source.counts.items():
        counts[label][split or "images"] = count
    auditor.add("warning", "empty-folder", message="class folders without images", names=list(source.empty))
    auditor.conclude(counts)
    yield source.total


def check_store(store: Store, auditor: Auditor) -> Generator[int, None, None]:
    """Verify the digests of a stored dataset and compare all its images; yield the number of images done."""
    done = 0
    damaged = []
    for split in store.splits:
        try:
            stored = store.split(split)
            if storage.sha256(store.file(split)) != store.card.digests.get(split):
                damaged.append(f"{split}: its bytes changed since they were stored")
            if problem := _damaged_numbers(stored):
                damaged.append(problem)
            for row, (image, label) in enumerate(zip(stored.images, stored.labels, strict=True)):
                auditor.see(image.tobytes(), split=split, label=store.card.classes[label], name=f"{split}/{row}")
                done += 1
                if done % _REPORT_EVERY == 0:
                    yield done
        except DataError as error:
            damaged.append(error.headline)
    auditor.add("error", "damaged", message="split files that are damaged", names=damaged)
    auditor.conclude({} if damaged else count_classes(store), _source_names(store, auditor.twins()))
    yield done


def _damaged_numbers(stored: StoredSplit) -> str:
    """Return what is wrong with the numbers of the images of a split, "" if nothing."""
    try:
        if stored.vectors is not None:
            stored.vectors.check(np.arange(len(stored.labels)))
    except DataError as error:
        return error.headline
    return ""


def _source_names(store: Store, places: list[str]) -> dict[str, str]:
    """Return the source names of the images at the places `SPLIT/ROW`."""
    sources: dict[str, str] = {}
    for split in store.splits:
        rows = [int(place.rpartition("/")[2]) for place in places if place.startswith(f"{split}/")]
        names = manifest_names(store.path, split, rows=rows) if rows else {}
        for row, name in names.items():
            sources[f"{split}/{row}"] = name if name.partition("/")[0] == split else f"{split}: {name}"
    return sources


def count_classes(store: Store) -> dict[str, dict[str, int]]:
    """Return the images by class and split, `counts[class][split]`, with splits in the order train, val, test."""
    by_split = {
        split: np.bincount(store.split(split).labels, minlength=len(store.card.classes))
        for split in SPLITS
        if split in store.splits
    }
    return {
        name: {split: int(numbers[label]) for split, numbers in by_split.items()}
        for label, name in enumerate(store.card.classes)
    }
