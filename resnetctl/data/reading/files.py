"""List the images of files, folders, archives and patterns, one after another and without decoding them.

Memory stays flat: a folder keeps the names of one folder at a time, an archive is read as a stream and not unpacked.
What cannot be listed becomes an item that raises `BadImage` when it is read, so it does not stop the others.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from resnetctl.data.reading.archive import Member, members, sniff
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.source import Item, clean, file_size, ignore, why_ignored
from resnetctl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Survey:
    """How much there is to read.

    Attributes:
        total: images, and what cannot be listed.
        size: bytes of their files.
        nothing: a line for each folder, archive or pattern that gives no image.
        missing: a line for each file, if none of them exists.
    """

    total: int
    size: int
    nothing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Refused:
    """The content of an item that cannot be listed. `is_whole`: it is all that an argument gives."""

    where: str
    message: str
    is_whole: bool

    def __call__(self) -> NoReturn:
        raise BadImage(self.message, where=self.where)


def image_items(paths: Iterable[Path], *, ignored: Counter[str]) -> Generator[Item, None, None]:
    """Yield every image in order; the name of an item is its path. Folders are sorted, archives keep their order.

    Args:
        paths: image files, folders, archives (`.tar`, `.tar.gz`, `.tar.xz`, `.zip`), and patterns such as `*/*.jpg`.
            A member of an archive must be read before the next item is taken.
        ignored: counts files that are no images by reason: a suffix, "no suffix", "hidden" or "no plain file".
    """
    for path in paths:
        if _is_pattern(path):
            yield from _matching(str(path), ignored)
        else:
            yield from _at(path, ignored)


def survey(items: Iterable[Item]) -> Survey:
    """Return how many images there are, the bytes of their files, and what gives none. Reads no image."""
    total = size = 0
    nothing: list[str] = []
    missing: list[str] = []
    for item in items:
        total += 1
        size += max(0, item.size)
        if isinstance(item.content, _Refused):
            nothing += [f"{item.name}: {item.content.message}"] if item.content.is_whole else []
        elif len(missing) == total - 1 and isinstance(item.content, Path) and not os.path.lexists(item.content):
            missing.append(f"{item.name}: no such file")
    are_missing = bool(missing) and len(missing) == total
    return Survey(total=total, size=size, nothing=tuple(nothing), missing=tuple(missing) if are_missing else ())


def is_archive(path: Path) -> bool:
    """Return whether the images of an archive would be read here, or of one that a pattern matches."""
    paths = map(Path, glob.iglob(str(path), recursive=True)) if _is_pattern(path) else [path]
    return any(_archive_kind(item) for item in paths)


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def _matching(pattern: str, ignored: Counter[str]) -> Iterator[Item]:
    """Yield the images that match; a folder stands for its images, unless the pattern has `**` and names them too."""
    is_empty = True
    for path in map(Path, sorted(glob.iglob(pattern, recursive=True))):
        reason = why_ignored((path.name,))
        if os.path.isdir(path):
            inside = () if "**" in pattern else _in_folder(path, ignored)
        elif reason and _archive_kind(path) is None:
            ignore(ignored, reason, name=str(path))
            continue
        else:
            inside = _at(path, ignored)
        for item in inside:
            is_empty = False
            yield item
    if is_empty:
        alike = next(glob.iglob(_in_any_case(pattern), recursive=True), "")
        yield _problem(pattern, f"no image matches{alike and f', but {alike} in another case does'}", is_whole=True)


def _in_any_case(pattern: str) -> str:
    """Return the pattern with the letters of its last part in any case; one with a choice of letters stays."""
    folder, name = os.path.split(pattern)
    letters = name if "[" in name else "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in name)
    return os.path.join(folder, letters)


def _at(path: Path, ignored: Counter[str]) -> Iterator[Item]:
    if str(path).startswith(("http:/", "https:/")) and not os.path.lexists(path):
        yield _problem(path, "addresses are not read: download the image, and name the file", is_whole=True)
    elif os.path.isdir(path):  # unlike Path.is_dir, False for a path that the system refuses, such as a long name
        yield from _in_folder(path, ignored)
    elif kind := _archive_kind(path):
        yield from _in_archive(path, kind, ignored)
    elif why_ignored((path.name,)) and not os.path.lexists(path):
        yield _problem(path, "no such file or folder", is_whole=True)
    else:
        yield _file(path)


def _file(path: Path) -> Item:
    return Item(str(path), None, "", path, size=file_size(path))


def _archive_kind(path: Path) -> str | None:
    """Return the kind of an archive; None for other files, for image files too, and for what cannot be read."""
    try:
        return sniff(path) if why_ignored((path.name,)) and path.is_file() else None
    except OSError:
        return None


def _in_folder(folder: Path, ignored: Counter[str]) -> Iterator[Item]:
    is_empty = True
    for item in _below(folder, (), ignored):
        is_empty = False
        yield item
    if is_empty:
        yield _problem(folder, "the folder has no image", is_whole=True)


def _below(root: Path, parts: tuple[str, ...], ignored: Counter[str]) -> Iterator[Item]:
    """Yield the images of a folder and of those in it, sorted by the parts of their paths."""
    folder = root.joinpath(*parts)
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, _kind(entry)) for entry in entries)
    except OSError as error:
        yield _problem(folder, f"the folder cannot be read: {error.strerror}")
        return
    for name, kind in names:
        if kind == "folder":
            yield from _below(root, (*parts, name), ignored)
        elif reason := kind.removeprefix("file") or why_ignored((*parts, name)):
            ignore(ignored, reason, name=str(folder / name))
        else:
            yield _file(folder / name)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Return "file" (also a link to nothing), "folder", or why it is ignored: links to folders may go in a circle."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "link to a folder" if entry.is_symlink() else "folder"
    except OSError:  # a link to itself
        pass
    return "file" if entry.is_symlink() else "no plain file"


def _in_archive(path: Path, kind: str, ignored: Counter[str]) -> Iterator[Item]:
    is_empty = True
    try:
        with closing(members(path, kind)) as found:
            for member in found:
                if item := _member(path, member, ignored):
                    is_empty = False
                    yield item
    except DataError as error:
        is_empty = False
        yield _problem(path, error.message)
    if is_empty:
        yield _problem(path, "the archive has no image", is_whole=True)


def _member(path: Path, member: Member, ignored: Counter[str]) -> Item | None:
    """Return a member that is an image; None for folders and other files."""
    try:
        parts = clean(member.name)
    except ValueError as error:
        return _problem(f"{path}/{member.name[:200]}", str(error))
    reason = why_ignored(parts) if parts else "no name"
    if member.is_folder or reason:
        if not member.is_folder:
            ignore(ignored, reason, name=f"{path}/{member.name[:200]}")
        return None
    name = "/".join([str(path), *parts])
    if member.refusal:
        return _problem(name, member.refusal)
    return Item(name, None, "", partial(_read, member.read, name), size=member.size)


def _read(read: Callable[[], bytes], name: str) -> bytes:
    """Return the bytes of a member. Raises `BadImage`, also when the archive is damaged there."""
    try:
        return read()
    except BadImage:
        raise
    except DataError as error:
        raise BadImage(error.message, where=name) from error


def _problem(where: str | Path, message: str, *, is_whole: bool = False) -> Item:
    """Return an item that cannot be read."""
    return Item(str(where), None, "", _Refused(str(where), message, is_whole))
