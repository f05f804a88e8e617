"""A tiny dataset plugin that fails on demand, and functions that run a task to its end."""

import dataclasses
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from resnetctl.errors import DataError
from resnetctl.facts import Notice, Progress
from resnetctl.spec import DatasetCard, ImageSpec, Split
from resnetctl.system.download import CHUNK, _report

Report = TypeVar("Report")
Fact = Notice | Progress


def run(work: Generator[Fact, None, Report]) -> tuple[Report, list[Fact]]:
    """Return a task's report and its facts."""
    facts = []
    while True:
        try:
            facts.append(next(work))
        except StopIteration as end:
            return end.value, facts


def done(work: Generator[Fact, None, Report]) -> Report:
    """Return a task's report."""
    return run(work)[0]


@dataclasses.dataclass
class Toy:
    """A dataset plugin of two classes; `spoil` chooses how it fails."""

    spoil: str = ""
    fetched: list[tuple[Path, Path | None]] = dataclasses.field(default_factory=list)

    @property
    def card(self) -> DatasetCard:
        return DatasetCard(
            name="toy",
            classes=("a", "b"),
            image=ImageSpec(size=4, channels=1, mean=(0.1,), std=(0.1,)),
            splits={"train": 4, "test": 2},
            licence="CC0",
            source="https://example.org",
            digests={"toy.bin": "sha256:00"},
            defaults={"mirror": False, "epochs": 3},
            notes=("a toy",),
        )

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        self.fetched.append((cache, source))
        if self.spoil == "no network":
            raise DataError("'toy' could not be downloaded", hint="--from")
        if self.spoil == "fetch":
            raise ZeroDivisionError("oops")
        _report(CHUNK, 2 * CHUNK)
        _report(2 * CHUNK, 2 * CHUNK)
        return source or cache / "toy.bin"

    def read(self, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        if self.spoil == "read":
            raise KeyError("oops")
        count = self.card.splits[split] - (self.spoil == "short" and split == "test")
        size = 5 if self.spoil == "shape" else 4
        for row in range(count):
            yield np.full((size, size, 1), row, np.uint8), "c" if self.spoil == "class" else "ab"[row % 2]
