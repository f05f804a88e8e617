"""The rules of a dataset plugin. Rules that read images are skipped if the images must be downloaded.

`check_dataset(dataset, source=PATH)` reads the images from the tester's own copy.
"""

import contextlib
import inspect
import itertools
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnetctl import registry
from resnetctl.errors import ResnetctlError
from resnetctl.spec import SPLITS, DatasetCard
from resnetctl.testing.findings import Rule, Skipped, expect
from resnetctl.wording import counted

FIRST = 64  # images to compare in each split
MOST = 200_000  # images to read in each split, at most


class _Offline(ConnectionRefusedError):
    """A dataset tried to connect to a network during a check."""

    def __str__(self) -> str:
        return "no network during a check"


@dataclass(kw_only=True)
class Subject:
    """A dataset, an empty cache folder, and the tester's copy of the images. All rules share one fetch."""

    dataset: Any
    cache: Path
    source: Path | None = None
    _path: list[Path | Skipped] = field(default_factory=list)

    @property
    def card(self) -> DatasetCard:
        card = self.dataset.card
        expect(isinstance(card, DatasetCard), f"card is a {type(card).__name__}")
        return card  # type: ignore[no-any-return]

    def path(self) -> Path:
        """Return the path from `fetch`. Raises `Skipped` if it needs a network or a source that is not there."""
        if not self._path:
            try:
                self._path.append(_fetch(self))
            except Skipped as reason:
                self._path.append(reason)
        outcome = self._path[0]
        if isinstance(outcome, Skipped):
            raise outcome
        return outcome

    def images(self, split: str) -> Iterator[Any]:
        return iter(self.dataset.read(self.path(), split))


@contextlib.contextmanager
def prepared(dataset: Any, source: Path | None = None) -> Iterator[Subject]:
    """Yield the dataset as the argument of the rules, with an empty cache folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield Subject(dataset=dataset, cache=Path(folder), source=source)


def signature(subject: Subject) -> str:
    """The dataset has `fetch(cache, source=None)` and `read(path, split)`."""
    fetch = inspect.signature(subject.dataset.fetch)
    expect(list(fetch.parameters) == ["cache", "source"], f"fetch{fetch}")
    expect(fetch.parameters["source"].default is None, f"fetch{fetch}")
    read = inspect.signature(subject.dataset.read)
    expect(list(read.parameters) == ["path", "split"], f"read{read}")
    return f"fetch{fetch}, read{read}"


def card(subject: Subject) -> str:
    """The card describes the dataset without a fetch."""
    own = subject.card
    expect(DatasetCard.from_json(own.to_json()) == own, "its JSON form reads back as another card")
    expect(bool(own.name), "the name is empty")
    expect(len(own.classes) > 1, counted(len(own.classes), "class"))
    expect(all(isinstance(name, str) and name for name in own.classes), f"classes are {own.classes[:5]}")
    expect(set(own.splits) <= set(SPLITS) and "train" in own.splits, f"splits are {list(own.splits)}")
    expect(min(own.splits.values()) > 0, f"splits are {dict(own.splits)}")
    expect(own.licence not in ("", "unknown"), f"the licence is {own.licence!r}")
    expect(bool(own.source), "source is empty")
    return f"{counted(len(own.classes), 'class')}, {own.licence}"


def defaults(subject: Subject) -> str:
    """`defaults` are config keys with values that a training run accepts."""
    from resnetctl.config.schema import TrainConfig

    values = {key: value for key, value in subject.card.defaults.items() if key != "mirror"}
    unknown = sorted(set(values) - set(TrainConfig.model_fields))
    expect(not unknown, f"{', '.join(unknown)} is not a config key")
    mirror = subject.card.defaults.get("mirror", True)
    expect(isinstance(mirror, bool), f"mirror is {mirror!r}")
    TrainConfig.model_validate(values | {"data": subject.card.name})
    if "augment" in values:
        registry.find("policy", str(values["augment"]))
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "none"


def splits(subject: Subject) -> str:
    """Each split has as many images as the card declares, and a split that the card lacks has none."""
    for split in SPLITS:
        wanted = subject.card.splits.get(split, 0)
        if wanted > MOST:
            raise Skipped(f"{wanted:,} images are too many to count")
        count = sum(1 for _ in subject.images(split)) if wanted else _absent(subject, split)
        expect(count == wanted, f"{split} has {count:,} images, the card says {wanted:,}")
    return ", ".join(f"{split} {number:,}" for split, number in subject.card.splits.items())


def types(subject: Subject) -> str:
    """Images are uint8 (H, W, C) arrays, and each class is a name of the card."""
    shapes = set()
    for split in subject.card.splits:
        for image, name in itertools.islice(subject.images(split), MOST):
            expect(isinstance(image, np.ndarray), f"an image of {split} is a {type(image).__name__}")
            expect(image.dtype == np.uint8, f"an image of {split} is {image.dtype}")
            expect(image.ndim == 3 and image.size > 0, f"an image of {split} has the shape {image.shape}")
            channels = subject.card.image.channels
            expect(
                image.shape[2] == channels,
                f"an image of {split} has {counted(image.shape[2], 'channel')}, not {channels}",
            )
            expect(name in subject.card.classes, f"{name!r} in {split} is not a class of the card")
            side = subject.card.image.resize
            expect(
                image.shape[:2] == (side, side), f"an image of {split} is {image.shape}, the card says {side}x{side}"
            )
            shapes.add(image.shape)
    return ", ".join(map(str, sorted(shapes)[:3]))


def order(subject: Subject) -> str:
    """Two readings return the same images in the same order, splits differ, and returned images do not change."""
    contents: dict[str, set[bytes]] = {}
    for split in subject.card.splits:
        first, second = _first(subject, split), _first(subject, split)
        for place, (one, two) in enumerate(zip(first, second, strict=True)):
            expect(one[1:] == two[1:], f"{split}: image {place} differs in the second reading")
            expect(one[0].tobytes() == one[1], f"{split}: image {place} changed when the next one was read")
        for other, images in contents.items():
            shared = sum(one[1] in images for one in first)
            expect(2 * shared <= len(first), f"{shared} of the first {len(first)} images of {split} are in {other} too")
        contents[split] = {one[1] for one in first}
    return "the same twice"


def every_class(subject: Subject) -> str:
    """The train split has images of every class."""
    if subject.card.splits["train"] > MOST:
        raise Skipped("train has too many images to read")
    names = {name for _, name in subject.images("train")}
    missing = [name for name in subject.card.classes if name not in names]
    expect(not missing, f"train has no image of {', '.join(missing[:5])}")
    return counted(len(names), "class")


@contextlib.contextmanager
def offline() -> Iterator[list[str]]:
    """Refuse every connection, and yield the list of attempts."""
    attempts: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        attempts.append(str(args))
        raise _Offline

    original = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect = socket.getaddrinfo = refuse  # type: ignore[method-assign]
    try:
        yield attempts
    finally:
        socket.socket.connect, socket.getaddrinfo = original  # type: ignore[method-assign]


def _fetch(subject: Subject) -> Path:
    with offline() as attempts:
        try:
            path = subject.dataset.fetch(subject.cache, subject.source)
        except Exception as error:
            if subject.source is None and (attempts or isinstance(error, ResnetctlError)):
                text = "its images are not on this machine: pass your copy to check_dataset(dataset, source=PATH)"
                raise Skipped(text) from None
            raise
    expect(isinstance(path, Path) and path.exists(), f"fetch returned {path!r}")
    return path  # type: ignore[no-any-return]


def _first(subject: Subject, split: str) -> list[tuple[Any, bytes, str]]:
    """Return the first images of a split: each with its bytes when it was read, and its class."""
    return [(image, image.tobytes(), name) for image, name in itertools.islice(subject.images(split), FIRST)]


def _absent(subject: Subject, split: str) -> int:
    """Return 0 if a split that the card lacks is empty or refused by the reader, else 1."""
    try:
        return sum(1 for _ in itertools.islice(subject.images(split), 1))
    except ResnetctlError:
        return 0


RULES = {
    "signature": Rule(
        wants="fetch(cache, source=None) and read(path, split)",
        judge=signature,
        fix="register an instance with `card`, fetch(self, cache, source=None) and read(self, path, split)",
    ),
    "card": Rule(
        wants="a card that describes the dataset",
        judge=card,
        fix="complete the card: DatasetCard(name, classes, image, splits with train, licence, source)",
    ),
    "defaults": Rule(
        wants="defaults that a training run accepts",
        judge=defaults,
        fix="use config keys (`config show` lists them) and `mirror`, a bool; augment names a policy",
    ),
    "splits": Rule(
        wants="as many images as the card says",
        judge=splits,
        fix="yield each image of the requested split once, and none for a split that the card lacks",
    ),
    "types": Rule(
        wants="uint8 (H, W, C) arrays with class names of the card",
        judge=types,
        fix="yield np.uint8 arrays with the card's side and channels, and classes by name (a str), not by number",
    ),
    "order": Rule(
        wants="a fixed order, and different images in each split",
        judge=order,
        fix="sort files, use no set, draw nothing: the index of an image is its identity; yield a new array each time, "
        "and only images of the requested split",
    ),
    "classes": Rule(
        wants="images of every class in train",
        judge=every_class,
        fix="list in card.classes only classes that train has",
    ),
}
