"""Sound datasets break no rule; each broken dataset breaks the rule of its case."""

import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetctl import registry
from resnetctl.errors import DataError
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.testing import datasets
from resnetctl.testing.findings import Finding, judge, judge_all

CARD = DatasetCard(
    name="dots", classes=("a", "b"), image=ImageSpec(size=4), splits={"train": 6, "test": 2},
    licence="CC0", source="here", defaults={"epochs": 2, "augment": "none", "mirror": False},
)  # fmt: skip


class Dots:
    """A sound dataset; the broken ones override one method."""

    def __init__(self, card: Any = CARD) -> None:
        self.card = card

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        path = cache / "dots"
        path.mkdir(exist_ok=True)
        return source or path

    def read(self, path: Path, split: str) -> Iterator[tuple[Any, Any]]:
        for number in range(CARD.splits.get(split, 0)):
            yield self.image(number + 100 * (split == "test")), self.label(number)

    def image(self, number: int) -> Any:
        return np.full((4, 4, 3), number, np.uint8)

    def label(self, number: int) -> Any:
        return "ab"[number % 2]


class Shuffles(Dots):
    def image(self, number: int) -> Any:
        return np.random.default_rng().integers(0, 256, (4, 4, 3), dtype=np.uint8)


class Lists(Dots):
    def image(self, number: int) -> Any:
        return [[number]]


class Floats(Dots):
    def image(self, number: int) -> Any:
        return np.zeros((4, 4, 3), np.float32)


class Flat(Dots):
    def image(self, number: int) -> Any:
        return np.zeros((4, 4), np.uint8)


class Grey(Dots):
    def image(self, number: int) -> Any:
        return np.zeros((4, 4, 1), np.uint8)


class Numbers(Dots):
    def label(self, number: int) -> Any:
        return number % 2


class LateLabel(Dots):
    """A dataset with one late image of a class that is not on the card."""

    def __init__(self) -> None:
        super().__init__(replace(CARD, splits={"train": 200}))

    def read(self, path: Path, split: str) -> Iterator[tuple[Any, Any]]:
        for number in range(self.card.splits.get(split, 0)):
            yield self.image(number), "c" if number == 150 else self.label(number)


class OneBuffer(Dots):
    """A dataset that yields one array again and again, with new values."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.zeros((4, 4, 3), np.uint8)

    def image(self, number: int) -> Any:
        self.buffer[:] = number
        return self.buffer


class OneSplit(Dots):
    """A dataset whose test split has the images of train."""

    def __init__(self) -> None:
        super().__init__(replace(CARD, splits={"train": 6, "test": 6}))

    def read(self, path: Path, split: str) -> Iterator[tuple[Any, Any]]:
        return super().read(path, "train" if split != "val" else split)


class OneClass(Dots):
    def label(self, number: int) -> Any:
        return "a"


class Downloads(Dots):
    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        if source is None:
            urllib.request.urlopen("http://127.0.0.1:9/none")
        return Path(str(source))


class Refuses(Dots):
    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        raise DataError("no such archive")


class NoSource(Dots):
    def fetch(self, cache: Path) -> Path:  # type: ignore[override]
        return cache


def finding_of(dataset: Any, rule: str, tmp_path: Path, source: Path | None = None) -> Finding:
    """Return the finding of one rule."""
    subject = datasets.Subject(dataset=dataset, cache=tmp_path, source=source)
    return judge("d", rule, rule=datasets.RULES[rule], target=subject)


@pytest.mark.parametrize("dataset", [Dots(), registry.get("dataset", "digits")])
def test_sound_datasets_break_no_rule(dataset: Any, tmp_path: Path) -> None:
    subject = datasets.Subject(dataset=dataset, cache=tmp_path)
    assert [str(one) for one in judge_all("d", datasets.RULES, target=subject) if one.status != "ok"] == []


@pytest.mark.parametrize(
    ("dataset", "rule", "seen"),
    [
        (NoSource(), "signature", "fetch(cache"),
        (Dots({"name": "dots"}), "card", "card is a dict"),
        (Dots(replace(CARD, licence="unknown")), "card", "the licence is 'unknown'"),
        (Dots(replace(CARD, splits={"test": 2})), "card", "splits are ['test']"),
        (Dots(replace(CARD, defaults={"epoch": 3})), "defaults", "epoch is not a config key"),
        (Dots(replace(CARD, defaults={"augment": "nune"})), "defaults", "no policy is called 'nune'"),
        (Dots(replace(CARD, splits={"train": 7, "test": 2})), "splits", "train has 6 images, the card says 7"),
        (Dots(replace(CARD, splits={"train": 6})), "splits", "test has 1 images, the card says 0"),
        (Lists(), "types", "is a list"),
        (Floats(), "types", "is float32"),
        (Flat(), "types", "has the shape (4, 4)"),
        (Grey(), "types", "has 1 channel, not 3"),
        (Numbers(), "types", "0 in train is not a class"),
        (LateLabel(), "types", "'c' in train is not a class"),
        (OneBuffer(), "order", "train: image 0 changed when the next one was read"),
        (OneSplit(), "order", "6 of the first 6 images of test are in train too"),
        (Shuffles(), "order", "train: image 0 differs"),
        (OneClass(), "classes", "train has no image of b"),
    ],
)
def test_a_broken_dataset_breaks_its_rule(dataset: Any, rule: str, seen: str, tmp_path: Path) -> None:
    finding = finding_of(dataset, rule, tmp_path)
    assert not finding.ok, str(finding)
    assert seen in finding.seen
    assert finding.fix


@pytest.mark.parametrize("dataset", [Downloads(), Refuses()])
def test_rules_that_need_a_download_are_skipped(dataset: Any, tmp_path: Path) -> None:
    for rule in ("splits", "types", "order", "classes"):
        assert finding_of(dataset, rule, tmp_path).status == "skipped"
    assert finding_of(dataset, "card", tmp_path).status == "ok"


def test_a_testers_own_source_is_read(tmp_path: Path) -> None:
    assert finding_of(Downloads(), "types", tmp_path, source=tmp_path).status == "ok"
    refused = finding_of(Refuses(), "types", tmp_path, source=tmp_path)
    assert (refused.status, refused.seen) == ("failed", "DataError: no such archive")


def test_a_large_split_is_not_counted(tmp_path: Path) -> None:
    large = Dots(replace(CARD, splits={"train": datasets.MOST + 1}))
    assert finding_of(large, "splits", tmp_path).status == "skipped"
    assert finding_of(large, "classes", tmp_path).status == "skipped"


def test_connections_work_again_after_a_check() -> None:
    import socket

    before = socket.getaddrinfo
    with datasets.offline(), pytest.raises(OSError, match="no network"):
        socket.create_connection(("localhost", 9))
    assert socket.getaddrinfo is before
