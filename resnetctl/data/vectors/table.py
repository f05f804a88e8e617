"""Read the numbers of images: a CSV file with the column `path`, or a `.npy` file with one row for each image."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import DataError
from resnetctl.system.plain_files import expanded
from resnetctl.wording import counted

KEY = "path"
OTHER = ("label", "labels", "split", "group")  # columns of a table of images, which are no numbers
LARGEST = 1e18  # a number: its square is no float32, but its mean is one that a card can hold
SHOWN = 20  # names in an error
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VectorTable:
    """The numbers of a file.

    Attributes:
        columns: names of the columns.
        values: float32 `(N, D)`.
        rows: the row of each image, by the name in the file; None: the rows follow the order of the images.
    """

    path: Path
    columns: tuple[str, ...]
    values: Floats
    rows: Mapping[str, int] | None = None

    def named(self, names: Sequence[str]) -> VectorTable:
        """Return the table with the rows of images by name; `names` are in the order of the images.

        Raises `DataError` when an image has no row. Rows of other images are allowed, unless the rows have no names.
        """
        if self.rows is None:
            if len(names) != len(self.values):
                raise DataError(
                    f"it has {counted(len(self.values), 'row')}, and there are {len(names):,} images",
                    where=str(self.path),
                )
            return VectorTable(
                path=self.path,
                columns=self.columns,
                values=self.values,
                rows={plain(name): row for row, name in enumerate(names)},
            )
        missing = [name for name in names if plain(name) not in self.rows]
        if missing:
            raise DataError(
                f"{counted(len(missing), 'image')} of {len(names):,} have no line",
                where=str(self.path),
                problems=missing,
                hint=f"names in the column '{KEY}' look like '{missing[0]}'",
            )
        return self

    def of(self, name: str) -> Floats:
        """Return the numbers of an image, float32 `(D,)`."""
        assert self.rows is not None, "`named` gave the rows their names"
        vector: Floats = self.values[self.rows[plain(name)]]
        return vector


def plain(name: str) -> str:
    """Return a name without `./`: names that mean one file are equal."""
    return PurePosixPath(name).as_posix()


def read_table(path: Path, columns: Sequence[str] | None = None) -> VectorTable:
    """Read a CSV or a `.npy` file.

    Args:
        columns: the columns to read, which the file must have; None: all that are not `path`, `label`, `labels`,
            `split` or `group`.

    Raises:
        DataError: the file is missing or damaged, lacks a column, or has a cell that is no finite number; the error
            lists every wrong line.
    """
    path = expanded(path)
    if not path.is_file():
        raise DataError("no such file", where=str(path))
    if path.suffix.lower() == ".npy":
        return _read_npy(path, columns)
    if path.suffix.lower() != ".csv":
        raise DataError("neither a .csv nor a .npy file", where=str(path), hint=f"a CSV file with the column '{KEY}'")
    reading = _Reading(path, columns)
    rows: dict[str, int] = {}
    values: list[Floats] = []
    for name, numbers in reading.lines():
        rows[name] = len(values)
        values.append(numbers)
    if reading.problems:
        raise DataError("some lines cannot be used", where=str(path), problems=reading.problems)
    if not values:
        raise DataError("the file has a header but no lines", where=str(path))
    return VectorTable(path=path, columns=reading.columns, values=np.stack(values), rows=rows)


def as_table(values: Any, columns: Sequence[str], *, where: str = "vectors") -> VectorTable:
    """Return an array `(N, D)` as a table whose rows follow the order of the images.

    Raises `DataError` when it has another form, or a cell without a finite number.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise DataError(f"it is {array.dtype} {array.shape}, not numbers for (images, columns)", where=where)
    if array.shape[1] != len(columns):
        raise DataError(
            f"it has {counted(array.shape[1], 'column')}, and the network reads {len(columns)}", where=where,
            hint=f"the columns are {', '.join(columns[:SHOWN])}",
        )  # fmt: skip
    bad = [f"row {row}, column {column}" for row, column in np.argwhere(~(np.abs(array) <= LARGEST)).tolist()]
    if bad:
        raise DataError(f"{counted(len(bad), 'cell')} without a number up to {LARGEST:g}", where=where, problems=bad)
    return VectorTable(path=Path(where), columns=tuple(columns), values=array.astype(np.float32))


def _read_npy(path: Path, columns: Sequence[str] | None) -> VectorTable:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read as .npy: {error}", where=str(path)) from error
    names = columns or [str(number) for number in range(values.shape[-1] if values.ndim else 0)]
    return as_table(values, names, where=str(path))


@dataclass
class _Reading:
    """Reads the lines of a CSV file; collects the problems of those that cannot be used."""

    path: Path
    wanted: Sequence[str] | None
    columns: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[tuple[str, Floats]]:
        """Yield name and numbers of each valid line."""
        seen: set[str] = set()
        try:
            with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                reader = csv.reader(file, strict=True)
                header = [name.strip() for name in next(reader, [])]
                places = self._places(header)
                for cells in reader:
                    if not any(cells):
                        continue
                    try:
                        name, numbers = self._line(cells, header, places)
                        if name in seen:
                            raise ValueError(f"'{name}' occurs twice")
                    except ValueError as error:
                        self.problems.append(f"line {reader.line_num}: {error}")
                        continue
                    seen.add(name)
                    yield name, numbers
        except (OSError, csv.Error) as error:
            raise DataError(f"cannot be read as CSV: {error}", where=str(self.path)) from error

    def _places(self, header: list[str]) -> list[int]:
        """Return the places of the key and of the columns. Raises `DataError` for a header that lacks them."""
        keys = [place for place, name in enumerate(header) if name.lower() == KEY]
        own = [name for name in header if name.lower() not in (KEY, *OTHER)]
        self.columns = tuple(own if self.wanted is None else self.wanted)
        missing = [name for name in self.columns if name not in header]
        problem = ""
        if len(keys) != 1:
            problem = f"the header line needs one column '{KEY}', and has {len(keys) or 'none'}"
        elif missing:
            problem = f"the header line lacks {_named(missing)}"
        elif not self.columns:
            problem = f"the header line has no column of numbers besides '{KEY}'"
        elif len(set(own)) < len(own) or "" in own:
            problem = "a column has no name, or two have the same"
        if problem:
            raise DataError(problem, where=f"{self.path}:1", hint=f"expected: {KEY},NAME,NAME,...")
        return [keys[0], *(header.index(name) for name in self.columns)]

    def _line(self, cells: list[str], header: list[str], places: list[int]) -> tuple[str, Floats]:
        """Return name and numbers. Raises `ValueError` that says what is wrong."""
        if len(cells) != len(header):
            raise ValueError(f"it has {counted(len(cells), 'cell')}, and the header has {len(header)}")
        key, *texts = (cells[place].strip() for place in places)
        if not key:
            raise ValueError(f"{KEY} is empty")
        numbers = [_number(text, name) for text, name in zip(texts, self.columns, strict=True)]
        return plain(key), np.array(numbers, np.float32)


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{column}' is empty" if not text else f"'{column}' is no number: '{text[:40]}'") from None
    if not abs(value) <= LARGEST:  # false for NaN
        raise ValueError(f"'{column}' is not a number up to {LARGEST:g}: '{text[:40]}'")
    return value


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
