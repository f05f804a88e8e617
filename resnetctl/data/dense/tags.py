"""Read a CSV file `path,labels[,split]` with a header line: a picture has any number of classes, such as `cat|dog`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resnetctl.data.dense.files import Files
from resnetctl.data.dense.scenes import Annotated, Scene
from resnetctl.errors import DataError
from resnetctl.spec import SPLITS, Split

SEPARATOR = "|"
COLUMNS = ("path", "labels", "split")
HEADER_BYTES = 4096


def is_tag_table(path: Path) -> bool:
    """Return whether a file is a CSV file with a column `labels`."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(HEADER_BYTES).decode("utf-8-sig", "replace")
    header = next(csv.reader(io.StringIO(first, newline="")), [])  # a line may end with \r alone
    return {"path", "labels"} <= set(_names(header))


def read_tags(path: Path) -> tuple[Files, Annotated]:
    """Return the pictures of the table, and what it says about them. Raises `DataError` when it is no CSV file."""
    table = _Table(path)
    lines = list(table.lines())
    files = Files(path=path, paths={path.name: path, **{scene.name: path.parent / scene.name for scene in lines}})
    classes = tuple(sorted({tag for scene in lines for tag in scene.tags}))
    return files, Annotated(
        path=path,
        format="CSV",
        truth="tags",
        classes=classes,
        scenes=tuple(lines),
        problems=tuple(table.problems),
        listing=files.listing([path.name]),
    )


def _names(header: list[str]) -> list[str]:
    return [name.strip().lower() for name in header]


@dataclass
class _Table:
    """Reads the lines of one file; collects the problems of those that cannot be used."""

    path: Path
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[Scene]:
        """Yield a picture for each valid line."""
        try:
            text = self.path.read_text(encoding="utf-8-sig", errors="surrogateescape")
            reader = csv.reader(io.StringIO(text, newline=""), strict=True)
            header = _names(next(reader, []))
            if "group" in header:
                self.problems.append(
                    "the column 'group' is for one label an image; with several, give each line a split"
                )
            places = {name: place for place, name in enumerate(header) if name in COLUMNS}
            seen: set[str] = set()
            for cells in reader:
                if not any(cells):
                    continue
                values = {key: cells[place].strip() if place < len(cells) else "" for key, place in places.items()}
                try:
                    scene = self._scene(values)
                    if scene.name in seen:
                        raise ValueError(f"'{scene.name}' occurs twice")
                except ValueError as error:
                    self.problems.append(f"line {reader.line_num}: {error}")
                    continue
                seen.add(scene.name)
                yield scene
        except (OSError, csv.Error) as error:
            raise DataError(f"cannot be read as CSV: {error}", where=str(self.path)) from error

    def _scene(self, values: dict[str, str]) -> Scene:
        """Return the picture of a line. Raises `ValueError` that says what is wrong."""
        name, split = values["path"], values.get("split", "")
        if not name or "\0" in name:
            raise ValueError("path is empty")
        if not (self.path.parent / name).is_file():
            raise ValueError(f"file '{name}' is missing")
        if split and split not in SPLITS:
            raise ValueError(f"split '{split}' is not train, val or test")
        tags = tuple(tag.strip() for tag in values["labels"].split(SEPARATOR)) if values["labels"] else ()
        if "" in tags:
            raise ValueError(f"a label in '{values['labels']}' is empty")
        if len(set(tags)) < len(tags):
            raise ValueError(f"a label in '{values['labels']}' occurs twice")
        known: Split | None = next((item for item in SPLITS if item == split), None)
        return Scene(name=name, split=known, where=name, tags=tags)
