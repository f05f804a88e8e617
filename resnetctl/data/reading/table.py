"""Read a CSV file `path,label[,split][,group]` with a header line.

Paths are relative to the CSV file, and lines keep their order. Lines with one `group` (a patient, a scene)
stay in one split.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from resnetctl.data.reading.source import Item, Items, Place, Seen, Source
from resnetctl.errors import DataError
from resnetctl.spec import SPLITS, Split

COLUMNS = ("path", "label", "split", "group")
Row = tuple[int, str, str, Split | None, str]  # line, path, label, split, group


def open_table(path: Path) -> Source:
    """Return the counted source of a CSV file. Raises `DataError` that lists every wrong line."""
    seen = Seen()
    source, problems = _surveyed(path, seen)
    if suspects := seen.suspects():
        source, problems = _surveyed(path, Seen(suspects))
    if problems:
        raise DataError("some lines cannot be used", where=str(path), problems=problems)
    return source


def _surveyed(path: Path, seen: Seen) -> tuple[Source, list[str]]:
    counts: Counter[Place] = Counter()
    total = 0
    listing = sha256()
    problems: list[str] = []
    has_groups = False
    for line, name, label, split, group in _rows(path, problems):
        has_groups |= bool(group)
        file = path.parent / name
        if seen.before(name):
            problems.append(f"line {line}: '{name}' occurs twice")
        elif not file.is_file():
            problems.append(f"line {line}: file '{name}' is missing")
        else:
            size = file.stat().st_size
            total += size
            listing.update(
                os.fsencode(f"{name}\0{label}\0{split}" + (f"\0{group}" if group else "")) + b"\0%d\n" % size
            )
        counts[split, label] += 1
    if len({split is None for split, _ in counts}) > 1:
        problems.append("some lines have a split and some have none")
    if not counts and not problems:
        problems.append("the file has a header but no lines")
    source = Source(
        path=path,
        kind="table",
        counts=counts,
        ignored={},
        size=total,
        listing=listing.hexdigest(),
        items=partial(_items, path),
        has_groups=has_groups,
    )
    return source, problems


def _items(path: Path) -> Items:
    for _, name, label, split, group in _rows(path, []):
        yield Item(name, split, label, path.parent / name, group)


def _rows(path: Path, problems: list[str]) -> Iterator[Row]:
    """Yield the valid lines; add a message to `problems` for each of the others."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = _columns(next(reader, []), path)
            for cells in reader:
                row = _row(reader.line_num, cells, columns, problems)
                if row is not None:
                    yield row
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}", where=str(path)) from error


def _columns(header: list[str], path: Path) -> dict[str, int]:
    columns = {name.strip().lower(): index for index, name in enumerate(header)}
    if not {"path", "label"} <= columns.keys():
        raise DataError(
            f"the header line is '{','.join(header)[:80]}'",
            where=f"{path}:1",
            hint="expected: path,label[,split][,group]",
        )
    return {name: columns[name] for name in COLUMNS if name in columns}


def _row(line: int, cells: list[str], columns: dict[str, int], problems: list[str]) -> Row | None:
    if not any(cells):
        return None
    values = {name: cells[index].strip() if index < len(cells) else "" for name, index in columns.items()}
    split: Split | None = next((name for name in SPLITS if name == values.get("split")), None)
    if not values["path"] or not values["label"] or "\0" in values["path"]:
        problems.append(f"line {line}: path or label is empty")
    elif values.get("split") and split is None:
        problems.append(f"line {line}: split '{values['split']}' is not train, val or test")
    else:
        return line, values["path"], values["label"], split, values.get("group", "")
    return None
