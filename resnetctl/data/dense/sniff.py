"""Open a path: class folders or a table, or pictures with boxes or masks. Names and suffixes decide which."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from resnetctl.data.dense.coco import documents, read_coco, require_coco
from resnetctl.data.dense.files import Files, opened
from resnetctl.data.dense.masks import IMAGES, MASKS, pairs, read_masks
from resnetctl.data.dense.scenes import Annotated
from resnetctl.data.dense.tags import is_tag_table, read_tags
from resnetctl.data.dense.voc import read_voc
from resnetctl.data.reading import archive
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.reading.source import Source
from resnetctl.errors import DataError
from resnetctl.system.plain_files import expanded

ANNOTATIONS = (".xml", ".json")  # files with such a suffix may describe pictures


@dataclass(frozen=True)
class Dense:
    """Pictures with boxes, masks or tags: the files, which can be read while the source is open, and what they say."""

    files: Files
    annotated: Annotated


@contextlib.contextmanager
def open_any(path: Path) -> Iterator[Source | Dense]:
    """Yield the source at `path`. Raises `DataError` for what no reader knows, and as the readers."""
    path, problem = expanded(path), None
    if is_tag_table(path):
        yield Dense(*read_tags(path))
        return
    try:
        source = open_source(path)
    except DataError as error:
        source, problem = None, error
    if _can_hold_annotations(path) and (source is None or _looks_annotated(source)):
        with _opened(path) as files:
            found = _read(files, path)
            if found is not None:
                yield Dense(files, found)
                return
    if source is None:
        assert problem is not None, "a source or an error"
        raise problem
    yield source


def listing_of(path: Path) -> str:
    """Return the digest of the source at `path`, to detect changes. Raises as `open_any`."""
    with open_any(path) as source:
        return source.annotated.listing if isinstance(source, Dense) else source.listing


def _can_hold_annotations(path: Path) -> bool:
    if path.is_dir():
        return True
    return path.is_file() and (path.suffix.lower() == ".json" or archive.sniff(path) is not None)


def _looks_annotated(source: Source) -> bool:
    """Return whether class folders may be something else: so that they are not read twice."""
    folders = {name.lower() for name in source.classes}
    has_masks = bool(folders.intersection(IMAGES) and folders.intersection(MASKS))
    return has_masks or any(suffix in source.ignored for suffix in ANNOTATIONS)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Files]:
    with opened(path.parent if path.suffix.lower() == ".json" and path.is_file() else path) as files:
        yield files


def _read(files: Files, path: Path) -> Annotated | None:
    if path.is_file() and path.suffix.lower() == ".json":
        bodies = documents(files, only=path.name)
        require_coco(str(path), bodies)
        return replace(read_coco(files, bodies), path=path)
    if files.below("", ".xml"):
        return read_voc(files)
    if bodies := documents(files):
        return read_coco(files, bodies)
    masks = pairs(files)
    return read_masks(files, masks) if masks else None
