"""Move files into folders with the names of their classes. No file is written over, and none leaves the folder."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from resnetctl.data.reading.files import is_archive
from resnetctl.data.reading.source import Item
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.wording import counted

SEPARATORS = "/\\\0"
LONGEST = 255  # bytes of a name


class Mover:
    """Moves files to `folder/CLASS/NAME`. A name that is taken gets a number: `cat-2.jpg`."""

    def __init__(self, folder: Path, classes: Sequence[str], *, images: Sequence[str | Path]) -> None:
        """Check everything before the first file moves.

        Raises:
            UsageError: the folder cannot be written or is itself asked for, a class cannot be the name of a folder, or
                there is an archive.
        """
        for path in map(Path, images):
            if is_archive(path):
                raise UsageError("the images of an archive cannot be moved", where=str(path), hint="unpack it first")
        bad = [name for name in classes if not _is_folder_name(name)]
        if bad:
            raise UsageError(f"the class {bad[0][:100]!r} cannot be the name of a folder", where=Setting("move"))
        storage.require_writable(folder, hint=Setting("move", "DIR"))
        self._folder = folder
        self._inside = os.path.join(os.path.abspath(folder), "")
        self._images = [os.path.abspath(path) for path in images]
        if os.path.abspath(folder) in self._images:
            raise UsageError(
                "the images are in the folder that they would move to",
                where=str(folder),
                hint=Setting("move", folder / "sorted"),
            )
        self._left = self._moved = 0

    def outside(self, items: Iterable[Item]) -> Iterator[Item]:
        """Leave out the items in the folder, which were moved before, unless an image or folder in it was asked for."""
        if any(path.startswith(self._inside) for path in self._images):
            yield from items
        else:
            yield from (item for item in items if not os.path.abspath(item.name).startswith(self._inside))

    def place(self, file: Path, label: str) -> Path:
        """Return where the file will go: a free name, or its own path if it is there or is a link, which stays."""
        if file.is_symlink() or not file.is_file():
            return file
        folder = self._folder / label
        if os.path.abspath(file.parent) == os.path.abspath(folder):
            return file
        place, number = folder / file.name, 1
        while os.path.lexists(place):
            number += 1
            place = folder / f"{file.stem}-{number}{file.suffix}"
        return place

    def move(self, file: Path, label: str) -> Path:
        """Move the file of a class; return its new path. Raises `UsageError` or `WorkFailed` when that fails."""
        place = self.place(file, label)
        if place == file:
            self._left += 1
            return file
        storage.make_folder(place.parent, parents=True)
        storage.move(file, place)
        self._moved += 1
        return place

    def told(self) -> list[str]:
        """Return a sentence on the files that were moved, and one on those that stayed."""
        moved = f"moved {counted(self._moved, 'file')} into folders of {self._folder}"
        why = "links stay, and so does a file that is in its folder already"
        left = f"{counted(self._left, 'file')} not moved: {why}"
        return [text for text, count in ((moved, self._moved), (left, self._left)) if count]


def _is_folder_name(name: str) -> bool:
    is_plain = name.isprintable() and not any(sign in name for sign in SEPARATORS)
    return is_plain and name not in ("", ".", "..") and 0 < len(os.fsencode(name)) <= LONGEST
