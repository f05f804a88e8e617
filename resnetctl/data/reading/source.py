"""The `Source` of images that every reader returns. One pass counts the images, the next pass streams them.

A folder or an archive has `train/CLASS/...`, `val/...`, `test/...`, or only `CLASS/...`. All of it may lie in one or
more outer folders. Files in deeper folders belong to the class. Hidden files and other files are ignored and counted.
"""

import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from resnetctl.data.reading.decode import BadImage, check_size, is_image_suffix
from resnetctl.errors import DataError
from resnetctl.spec import SPLITS, Split
from resnetctl.system.plain_files import open_regular
from resnetctl.wording import counted

ALIASES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
NAMED = 3  # ignored files that are named
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
Parts = tuple[str, ...]
Place = tuple[Split | None, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    `name` is relative to the source, with `/`. `split` is None when the source has no splits. Items with one `group`
    stay in one split; "": none. `content` is a path, or a function that reads a member of an archive and works until
    the next item is taken. `size` is the bytes of the file, as the file system or the archive claims; below 0: unknown.
    """

    name: str
    split: Split | None
    label: str
    content: Path | Callable[[], bytes]
    group: str = ""
    size: int = -1

    def read(self) -> bytes:
        """Return the bytes of the image file. Raises `BadImage`."""
        return read_file(self.content) if isinstance(self.content, Path) else self.content()


Items = Generator[Item, None, None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A counted source of images.

    Attributes:
        counts: images by (split, class), before any is decoded.
        ignored: number of ignored files by reason: a suffix, "hidden", "outside the class folders".
        empty: class folders without images.
        size: bytes of all images, as the source claims.
        listing: SHA-256 of names and sizes (in a table also labels and splits) in order, to detect changes.
        items: starts a pass; each call yields the same items in the same order.
        has_groups: whether items have a `group`.
    """

    path: Path
    kind: str
    counts: Mapping[Place, int]
    ignored: Mapping[str, int]
    empty: tuple[str, ...] = ()
    size: int
    listing: str
    items: Callable[[], Items]
    has_groups: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of all splits in label order: sorted by their bytes."""
        return tuple(sorted({label for _, label in self.counts}, key=os.fsencode))

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the source has; none for class folders only."""
        return tuple(split for split in SPLITS if any(split == other for other, _ in self.counts))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The meaning of folders: `strip` outer folders, then the split if `has_splits`, then the class."""

    strip: int
    has_splits: bool

    def place(self, folders: Parts) -> Place | None:
        """Return (split, class) of a file in `folders`; None outside the class folders."""
        rest = folders[self.strip :]
        if len(rest) < 1 + self.has_splits:
            return None
        return (ALIASES[rest[0].lower()], rest[1]) if self.has_splits else (None, rest[0])


class Ignored(Counter[str]):
    """Counts the files that are no images by reason, and keeps the first `NAMED` names."""

    def __init__(self, counts: Mapping[str, int] | None = None, *, names: Iterable[str] = ()) -> None:
        super().__init__(counts)
        self.names = [*names]


def ignore(ignored: Counter[str], reason: str, *, name: str) -> None:
    """Count a file that is no image, and keep its name if there are few."""
    ignored[reason] += 1
    if isinstance(ignored, Ignored) and len(ignored.names) < NAMED:
        ignored.names.append(name)


class Survey:
    """The first pass over a source. It counts images by folder and then determines the layout."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind
        self.ignored = Ignored()
        self._size = 0
        self.images = 0  # counted here: a sum over the folders, for every member, takes quadratic time
        self._images: Counter[Parts] = Counter()
        self._folders: set[Parts] = set()
        self._listing = sha256()

    def see_folder(self, folders: Parts) -> None:
        """Record a folder, which may be empty."""
        if folders and not is_hidden(folders):
            self._folders.add(folders)

    def see_file(self, parts: Parts, size: int) -> bool:
        """Count a file; return whether it is an image."""
        reason = why_ignored(parts)
        if reason:
            self.see_other(reason, "/".join(parts))
        else:
            self.see_image(parts, size)
        return not reason

    def see_other(self, reason: str, name: str) -> None:
        """Count a file that is not an image."""
        ignore(self.ignored, reason, name=name)

    def see_image(self, parts: Parts, size: int) -> None:
        """Count an image of `size` bytes, as the source claims; below 0: unknown."""
        self.images += 1
        self._images[parts[:-1]] += 1
        self._size += max(0, size)
        self._listing.update(os.fsencode("/".join(parts)) + b"\0%d\n" % size)

    def source(self, items: Callable[[Layout], Items]) -> Source:
        """Return the source, whose `items` use its layout. Raises `DataError` when the layout is not supported."""
        layout = find_layout(self._images, self.path)
        counts: Counter[Place] = Counter()
        for folders, count in self._images.items():
            place = layout.place(folders)
            if place is None:
                self.ignored["outside the class folders"] += count
            else:
                counts[place] += count
        return Source(
            path=self.path,
            kind=self.kind,
            counts=counts,
            ignored=Ignored(dict(sorted(self.ignored.items())), names=self.ignored.names),
            empty=self._empty(layout, counts),
            size=self._size,
            listing=self._listing.hexdigest(),
            items=lambda: items(layout),
        )

    def _empty(self, layout: Layout, counts: Mapping[Place, int]) -> tuple[str, ...]:
        depth = layout.strip + layout.has_splits + 1
        known = [folders for folders in self._folders if len(folders) == depth and self._is_inside(layout, folders)]
        return tuple(sorted("/".join(folders) for folders in known if layout.place(folders) not in counts))

    def _is_inside(self, layout: Layout, folders: Parts) -> bool:
        wrapper = next(iter(self._images))[: layout.strip]
        return folders[: layout.strip] == wrapper and (
            not layout.has_splits or folders[layout.strip].lower() in ALIASES
        )


class Seen:
    """Detects names that occur twice among millions, with 8 bytes per name.

    The first pass keeps the hashes, and `suspects` returns those that occur twice. If there are any, a second pass
    compares the names with these hashes.
    """

    def __init__(self, suspects: Set[int] | None = None) -> None:
        self._suspects = suspects
        self._hashes = array("q")
        self._names: set[Hashable] = set()

    def before(self, name: Hashable) -> bool:
        """Return whether `name` occurred before; always False in the first pass."""
        if self._suspects is None:
            self._hashes.append(hash(name))
        elif hash(name) in self._suspects:
            if name in self._names:
                return True
            self._names.add(name)
        return False

    def suspects(self) -> frozenset[int]:
        """Return the hashes that occur twice: of one name, or by chance of two names."""
        hashes = np.sort(np.frombuffer(self._hashes, np.int64))
        return frozenset(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def read_file(path: str | Path) -> bytes:
    """Return the bytes of an image file. Raises `BadImage` if it is too large, missing, unreadable or not plain."""
    try:
        with open_regular(path, error=BadImage) as file:
            check_size(os.fstat(file.fileno()).st_size, str(path))
            return file.read()
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def file_size(file: Path) -> int:
    """Return the size of a file in bytes; -1 if it is unknown."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def find_layout(images: Mapping[Parts, int], path: Path) -> Layout:
    """Return the layout of folders, from image counts by folder. Raises `DataError` for an unsupported layout."""
    if not images:
        raise DataError("no images here", where=str(path), hint=expected())
    strip = _wrapped(images)
    inner = {folders[strip:]: count for folders, count in images.items() if len(folders) > strip}
    tops = {folders[0] for folders in inner}
    deep = {folders[0] for folders in inner if len(folders) > 1 and folders[0].lower() in ALIASES}
    if not tops:
        raise DataError(
            f"{counted(sum(images.values()), 'image')}, but no class folders", where=str(path), hint=expected()
        )
    if not deep:
        return Layout(strip=strip, has_splits=False)
    others = sorted(top for top in tops if top.lower() not in ALIASES)
    if others:
        raise DataError(
            f"'{sorted(deep)[0]}' looks like a split, but '{others[0]}' beside it does not",
            where=str(path),
            hint=expected(),
        )
    return Layout(strip=strip, has_splits=True)


def _wrapped(images: Mapping[Parts, int]) -> int:
    """Return the number of nested outer folders, which are neither splits nor classes."""
    strip = 0
    while _is_wrapped(images, strip):
        strip += 1
    return strip


def _is_wrapped(images: Mapping[Parts, int], depth: int) -> bool:
    tops = {folders[depth] for folders in images if len(folders) > depth}
    if len(tops) != 1:
        return False
    nested = sum(count for folders, count in images.items() if len(folders) > depth + 1)
    direct = sum(count for folders, count in images.items() if len(folders) == depth + 1)
    return nested > direct and next(iter(tops)).lower() not in ALIASES


def expected() -> list[str]:
    """Return the hints that show the supported layouts."""
    return [
        "expected: CLASS/image.jpg, or train/CLASS/image.jpg with val/ and test/ beside it",
        "or a CSV file with the columns path,label[,split][,group]",
    ]


def why_ignored(parts: Parts) -> str:
    """Return why a file is ignored; "" if it is an image of the source."""
    if is_hidden(parts):
        return "hidden"
    suffix = os.path.splitext(parts[-1])[1].lower()
    return "" if is_image_suffix(suffix) else suffix or "no suffix"


def is_hidden(parts: Parts) -> bool:
    """Return whether a file or folder is hidden, is in a hidden folder, or was added to an archive by macOS."""
    for part in parts:  # noqa: SIM110  # called for every file; `any` takes three times as long
        if part[:1] == "." or part == "__MACOSX":
            return True
    return False


def clean(name: str) -> Parts:
    """Return the parts of a member's name. Raises `ValueError` if the name leads out of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or _DRIVE.match(name) or "\0" in name:
        raise ValueError("its name is an absolute path")
    if ".." in name and ".." in re.split(r"[/\\]", name):
        raise ValueError("its name leads out of the archive")
    return tuple(parts)
