"""The files of a folder or of an archive by name, for readers that need them in any order.

An archive is unpacked into a temporary folder, under numbers: no member name becomes a path.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from resnetctl.data.reading.archive import MAX_OTHERS, members, sniff
from resnetctl.data.reading.decode import BadImage, is_image_suffix
from resnetctl.data.reading.folder import walk
from resnetctl.data.reading.source import clean, file_size, is_hidden, read_file
from resnetctl.errors import DataError
from resnetctl.wording import counted

ANNOTATIONS = (".xml", ".json", ".txt")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Names, relative to the source and with `/`, to paths that can be read. Only images and annotations are here."""

    path: Path
    paths: Mapping[str, Path]

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises `BadImage`."""
        try:
            return read_file(self.paths[name])
        except BadImage as error:
            raise BadImage(error.message, where=name) from error

    def size(self, name: str) -> int:
        """Return the bytes of a file; 0 if it is gone."""
        return max(0, file_size(self.paths[name]))

    def text(self, name: str) -> str:
        """Return the text of an annotation. Raises `DataError` when it is not UTF-8."""
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"it is not UTF-8 text: {error.reason}", where=name) from None

    def below(self, folder: str, *suffixes: str) -> list[str]:
        """Return the names in `folder` and below; with `suffixes`, those that end so; otherwise the images."""
        names = (name for name in self.paths if name.startswith(folder))
        return [
            name for name in names if (suffix_of(name) in suffixes if suffixes else is_image_suffix(suffix_of(name)))
        ]

    def listing(self, annotations: list[str]) -> str:
        """Return a digest of all names and sizes, and of the content of the annotations."""
        digest = sha256()
        for name, path in self.paths.items():
            digest.update(os.fsencode(name) + b"\0%d\n" % path.stat().st_size)
        for name in annotations:
            digest.update(sha256(self.read(name)).digest())
        return digest.hexdigest()


def suffix_of(name: str) -> str:
    """Return the suffix of a name, in lower case."""
    return os.path.splitext(name)[1].lower()


def stem_of(name: str) -> str:
    """Return the last part of a name without its suffix."""
    return os.path.splitext(name.rpartition("/")[2])[0]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Yield the files of a folder or an archive. Raises `DataError` when an archive is damaged or hostile."""
    if path.is_dir():
        parts = (parts for parts, is_folder in walk(path) if not is_folder)
        yield Files(path=path, paths={"/".join(item): path.joinpath(*item) for item in parts if _is_wanted(item)})
        return
    with tempfile.TemporaryDirectory(prefix="resnetctl-data-") as folder:
        yield Files(path=path, paths=_unpacked(path, Path(folder)))


def _is_wanted(parts: tuple[str, ...]) -> bool:
    suffix = suffix_of(parts[-1])
    return not is_hidden(parts) and (is_image_suffix(suffix) or suffix in ANNOTATIONS)


def _unpacked(path: Path, folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    problems: list[str] = []
    kind = sniff(path)
    assert kind is not None, "the caller asked `sniff`"
    with closing(members(path, kind)) as found:
        for number, member in enumerate(found):
            try:
                parts = clean(member.name)
                is_empty = member.size == 0 and suffix_of(member.name) == ".txt"  # a list of nothing
                if member.is_folder or not parts or is_empty or not _is_wanted(parts):
                    if number > MAX_OTHERS + 2 * len(paths):
                        raise DataError("too many members that are not images", where=str(path))
                    continue
                name = "/".join(parts)
                if member.refusal or name in paths:
                    raise ValueError(member.refusal or "the name occurs twice")
            except ValueError as error:
                problems.append(f"{member.name[:200]!r}: {error}")
                continue
            paths[name] = folder / str(number)
            paths[name].write_bytes(member.read())
    if problems:
        text = f"the archive has {counted(len(problems), 'member')} that cannot be used"
        raise DataError(text, where=str(path), problems=problems[:100])
    return paths
