"""Read a folder of images. Order: depth first, names by their bytes. Links are followed, loops of links are not."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from resnetctl.data.reading.source import Item, Items, Layout, Parts, Source, Survey, file_size, is_hidden, why_ignored
from resnetctl.errors import DataError


def open_folder(path: Path) -> Source:
    """Return the counted source of a folder. Raises `DataError` when its layout is not supported."""
    survey = Survey(path, "folder")
    for parts, is_folder in walk(path):
        if is_folder:
            survey.see_folder(parts)
        else:
            survey.see_file(parts, file_size(path.joinpath(*parts)))
    return survey.source(partial(_items, path))


def _items(path: Path, layout: Layout) -> Items:
    for parts, is_folder in walk(path):
        if is_folder or why_ignored(parts):
            continue
        place = layout.place(parts[:-1])
        if place is not None:
            yield Item("/".join(parts), place[0], place[1], path.joinpath(*parts))


def walk(root: Path) -> Iterator[tuple[Parts, bool]]:
    """Yield every file and folder below `root` as (parts, is_folder). Hidden folders are not entered."""
    pending: list[tuple[Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    while pending:
        parts, above = pending.pop()
        folder = root.joinpath(*parts)
        identity = _identity(folder)
        if identity in above:
            continue  # a link back to a parent folder
        inside = above | {identity}
        below: list[Parts] = []
        for name, is_folder in _listed(folder):
            yield (*parts, name), is_folder
            if is_folder and not is_hidden((name,)):
                below.append((*parts, name))
        pending.extend((inner, inside) for inner in reversed(below))


def _listed(folder: Path) -> list[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            names = [(entry.name, _is_folder(entry)) for entry in entries]
    except OSError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", where=str(folder)) from error
    return sorted(names, key=lambda pair: os.fsencode(pair[0]))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", where=str(folder)) from error
    return status.st_dev, status.st_ino
