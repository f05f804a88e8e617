"""The CSV file of `predict`: one row for each image, written while the work goes on. A later call goes on with it.

Names are stored as they are, whatever their bytes. A kill may tear the last row: the next call removes it. A row with a
problem is no result: the image is tried again when a later call names it, and a new outcome takes the place of the row.
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
from resnetctl.report.problems import Problems
from resnetctl.system import locks, storage
from resnetctl.wording import counted

FILE, NUMBERS, PROBLEM, WEIGHTS = "file", "numbers", "problem", "weights"
FLUSH_EVERY = 64  # rows: a kill loses at most these, and they are predicted again
SHOWN = 3  # names in an error
LONGEST_ROW = 2**24  # bytes; the longest class name and 1,000 classes need less
Row = Sequence[object]


class Table:
    """An open CSV file. It keeps 8 bytes for each result that was there before, and the problem of each bad image."""

    def __init__(
        self, file: IO[bytes], *, weights: str, columns: Sequence[str], numbers: Mapping[str, str] | None = None
    ) -> None:
        self._file, self._weights, self._numbers = file, weights, numbers
        self.values = len(columns)
        self.columns = (FILE, *columns, *([] if numbers is None else [NUMBERS]), PROBLEM, WEIGHTS)
        self.before = self.rows = 0
        self.problems = Problems()  # of the images of this call
        self._done = np.empty(0, np.uint64)
        self._bad: dict[int, str] = {}  # the problems of rows that were there before
        self._again: set[int] = set()  # images that have a bad row and a newer one

    def load(self, path: Path) -> None:
        """Read the rows that are there, and remove a torn one. Raises `UsageError` for another table."""
        done, end = array("Q"), 0
        changed: list[str] = []
        with path.open("rb") as existing:
            for number, (row, line) in enumerate(_rows(existing, path)):
                if number:
                    self._checked(row, path)
                    self._place(row, done)
                    self.rows += 1
                    changed += [row[0]] if self._has_other_numbers(row) else []
                elif tuple(row) != self.columns:
                    raise _other(path, f"its columns are not {','.join(self.columns)}")
                end += len(line)
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
        self.before = len(done)

    def is_done(self, name: str) -> bool:
        """Return whether an image had a result before."""
        if not self.before:
            return False
        place = np.searchsorted(self._done, np.uint64(key := _key(name)))
        return bool(place < len(self._done) and self._done[place] == key)

    def add(self, name: str, values: Row, *, problem: str = "") -> None:
        """Append a row, unless the image had one with the same problem."""
        if self._bad and not self._is_news(_key(name), problem):
            return
        numbers = [] if self._numbers is None else [self._numbers[name]]
        self._file.write(_encoded([name, *values, *numbers, problem, self._weights]))
        self.rows += 1
        if self.rows % FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Hand the rows to the system: from here on a kill of this process cannot lose them."""
        self._file.flush()

    def settle(self, path: Path) -> None:
        """Write each newer row in the place of its image's bad row, all at once: a kill leaves the file as it was."""
        self.flush()
        if not self._again:
            return
        with path.open("rb") as old, storage.staged_file(path.resolve()) as new:
            newest = {key: line for key, line in _keyed(old, path) if key in self._again}
            old.seek(0)
            self.rows = -1  # the header is no row
            for key, line in _keyed(old, path):
                line = newest.pop(key, b"") if key in self._again else line
                self.rows += bool(line)
                new.write(line)

    def _is_news(self, key: int, problem: str) -> bool:
        """Return whether a row has to be written for an image; note that it replaces a bad one."""
        earlier = self._bad.get(key)
        if earlier is not None:
            self._bad[key] = problem
            self._again |= {key} if problem != earlier else set()
        return problem != earlier

    def _place(self, row: list[str], done: "array[int]") -> None:
        """Note a row that was there before. After a kill it may be the newer one of an image that has a bad one."""
        key, problem = _key(row[0]), row[-2]
        if self._bad.get(key, problem) != problem:
            self._again.add(key)
        if problem:
            self._bad[key] = problem
        else:
            self._bad.pop(key, None)
            done.append(key)

    def _checked(self, row: list[str], path: Path) -> None:
        if len(row) != len(self.columns):
            raise _other(path, f"a row has {len(row)} fields, not {len(self.columns)}")
        if row[-1] != self._weights:
            raise _other(path, f"it has predictions of other weights ({row[-1][:20]!r}, not {self._weights!r})")

    def _has_other_numbers(self, row: list[str]) -> bool:
        """Return whether an image that is asked for now had other numbers when its row was written."""
        return self._numbers is not None and not row[-2] and self._numbers.get(row[0], row[-3]) != row[-3]


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
    with locks.growing_file(path, owner=f"the table {path.name}") as file:
        table = Table(file, weights=weights, columns=columns, numbers=numbers)
        table.load(path)
        yield table
        table.settle(path)


def _rows(file: IO[bytes], path: Path) -> Iterator[tuple[list[str], bytes]]:
    """Yield each whole row and its bytes. A row ends at a line break outside quotes."""
    pending = b""
    while line := file.readline(LONGEST_ROW):
        pending += line
        if len(pending) > LONGEST_ROW:
            raise _other(path, "a row is too long")
        if line.endswith(b"\n") and pending.count(b'"') % 2 == 0:
            yield _decoded(pending), pending
            pending = b""


def _keyed(file: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the key and the bytes of each row; the key of the header is -1."""
    for number, (row, line) in enumerate(_rows(file, path)):
        yield _key(row[0]) if number else -1, line


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
