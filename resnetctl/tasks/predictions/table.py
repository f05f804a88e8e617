"""The CSV file of `predict`: one row for each image, written while the work goes on. A later call goes on with it.

Names are stored as they are, whatever their bytes. A kill may tear the last row: the next call removes it.
"""

import csv
import io
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

import numpy as np

from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.tasks.predictions.problems import Problems
from resnetctl.wording import counted

FILE, NUMBERS, PROBLEM, WEIGHTS = "file", "numbers", "problem", "weights"
FLUSH_EVERY = 64  # rows: a kill loses at most these, and they are predicted again
SHOWN = 3  # names in an error
LONGEST_ROW = 2**24  # bytes; the longest class name and 1,000 classes need less
Row = Sequence[object]


class Table:
    """An open CSV file. It keeps 8 bytes for each row that was there before."""

    def __init__(
        self, file: IO[bytes], *, weights: str, columns: Sequence[str], numbers: Mapping[str, str] | None = None
    ) -> None:
        self._file, self._weights, self._numbers = file, weights, numbers
        self.values = len(columns)
        self.columns = (FILE, *columns, *([] if numbers is None else [NUMBERS]), PROBLEM, WEIGHTS)
        self.before = self.rows = 0
        self.problems = Problems()  # of the rows that were there before
        self._done = np.empty(0, np.uint64)

    def load(self, path: Path) -> None:
        """Read the rows that are there, and remove a torn one. Raises `UsageError` for another table."""
        done, end = array("Q"), 0
        changed: list[str] = []
        with path.open("rb") as existing:
            for number, (row, stop) in enumerate(_rows(existing, path)):
                if number:
                    done.append(self._checked(row, path))
                    changed += [row[0]] if self._has_other_numbers(row) else []
                elif tuple(row) != self.columns:
                    raise _other(path, f"its columns are not {','.join(self.columns)}")
                end = stop
            if not end and not _encoded(self.columns).startswith(_head(existing)):
                raise _other(path, "it is no table of predictions")
        if changed:
            shown = ", ".join(changed[:SHOWN]) + (", ..." if len(changed) > SHOWN else "")
            raise _other(
                path, f"{counted(len(changed), 'image')} had other numbers when the rows were written ({shown})"
            )
        self._file.truncate(end)
        if not end:
            self._file.write(_encoded(self.columns))
        self._done = np.sort(np.frombuffer(done, np.uint64))
        self.before = self.rows = len(done)

    def is_done(self, name: str) -> bool:
        """Return whether an image had a row before."""
        if not self.before:
            return False
        place = np.searchsorted(self._done, np.uint64(key := _key(name)))
        return bool(place < len(self._done) and self._done[place] == key)

    def add(self, name: str, values: Row, *, problem: str = "") -> None:
        """Append a row."""
        numbers = [] if self._numbers is None else [self._numbers[name]]
        self._file.write(_encoded([name, *values, *numbers, problem, self._weights]))
        self.rows += 1
        if self.rows % FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Hand the rows to the system: from here on a kill of this process cannot lose them."""
        self._file.flush()

    def _checked(self, row: list[str], path: Path) -> int:
        if len(row) != len(self.columns):
            raise _other(path, f"a row has {len(row)} fields, not {len(self.columns)}")
        if row[-1] != self._weights:
            raise _other(path, f"it has predictions of other weights ({row[-1][:20]!r}, not {self._weights!r})")
        if row[-2]:
            self.problems.note(f"{row[0]}: {row[-2]}")
        return _key(row[0])

    def _has_other_numbers(self, row: list[str]) -> bool:
        """Return whether an image that is asked for now had other numbers when its row was written."""
        return self._numbers is not None and self._numbers.get(row[0], row[-3]) != row[-3]


@contextmanager
def open_table(
    path: Path, *, weights: str, columns: Sequence[str], numbers: Mapping[str, str] | None = None
) -> Iterator[Table]:
    """Yield the table at `path`, new or with the rows of an earlier call. One process at a time can write it.

    Args:
        weights: what tells the network from others, in the last column of every row.
        columns: what `add` is given, between the file and its problem.
        numbers: digests of the numbers of each image, by name, for a network that reads some; a column has them.

    Raises:
        UsageError: the file is another table, or has predictions of other weights, or of images that have other
            numbers now; it is left as it is.
    """
    storage.require_writable(path.parent, hint=Setting("csv", "FILE"))
    if path.exists() and not path.is_file():
        raise UsageError("this is not a plain file", where=str(path), hint=Setting("csv", "FILE"))
    with storage.growing_file(path, owner=f"the table {path.name}") as file:
        table = Table(file, weights=weights, columns=columns, numbers=numbers)
        table.load(path)
        yield table


def _rows(file: IO[bytes], path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield each whole row and the offset of its end. A row ends at a line break outside quotes."""
    pending, end = b"", 0
    while line := file.readline(LONGEST_ROW):
        pending += line
        if len(pending) > LONGEST_ROW:
            raise _other(path, "a row is too long")
        if line.endswith(b"\n") and pending.count(b'"') % 2 == 0:
            end += len(pending)
            yield _decoded(pending), end
            pending = b""


def _head(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(LONGEST_ROW)


def _encoded(row: Row) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(row)  # it quotes fields that have a character of the line's end
    return os.fsencode(text.getvalue().removesuffix("\r\n") + "\n")


def _decoded(row: bytes) -> list[str]:
    limit = csv.field_size_limit(LONGEST_ROW)  # of the whole process; the default is too small for a large set
    try:
        return next(csv.reader(io.StringIO(os.fsdecode(row), newline="")), [])
    finally:
        csv.field_size_limit(limit)


def _key(name: str) -> int:
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), "little")


def _other(path: Path, why: str) -> UsageError:
    return UsageError(
        f"the file cannot be continued: {why}",
        where=str(path),
        hint=Setting("csv", "FILE", note="another name begins a new table"),
    )
