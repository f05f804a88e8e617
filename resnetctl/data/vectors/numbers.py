"""The numbers that a source of images gets from a file of the user, checked before an image is decoded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from resnetctl.data.reading.source import Source
from resnetctl.data.vectors.table import SHOWN, VectorTable, read_table
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import VectorSpec
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A file with the numbers of all images; `unused` lines are of no image."""

    table: VectorTable
    unused: int

    @property
    def draft(self) -> VectorSpec:
        """The columns, before mean and std are measured."""
        count = len(self.table.columns)
        return VectorSpec(columns=self.table.columns, mean=(0.0,) * count, std=(1.0,) * count)

    def notes(self, measured: VectorSpec | None, *, strict: bool) -> list[str]:
        """Return remarks on the numbers for the card.

        With `strict`, raises `DataError` when a column has one value in train: it teaches nothing.
        """
        same = [] if measured is None else measured.constant
        if same and strict:
            raise DataError(
                f"{counted(len(same), 'column')} with one value in all training images",
                where=str(self.table.path),
                problems=same,
                hint="remove these columns",
            )
        notes = [f"numbers: {counted(len(self.table.columns), 'column')} of {self.table.path.name}"]
        if same:
            names = ", ".join(same[:SHOWN]) + (f" and {len(same) - SHOWN:,} more" if len(same) > SHOWN else "")
            notes.append(f"columns with one value in all training images, which networks read as 0: {names}")
        if self.unused:
            notes.append(f"lines of {self.table.path.name} that name no image, left out: {self.unused:,}")
        return notes


def numbers_of(source: Source, path: Path) -> Numbers:
    """Return the numbers in the file `path`, for the images of `source`.

    Raises:
        DataError: the file cannot be used, or an image has no line; or the rows have no names, and the source has no
            order that a user knows.
    """
    table = read_table(path)
    if table.rows is None and source.kind != "table":
        raise DataError(
            "its rows have no names, so they can only follow the lines of a CSV file of images",
            where=str(path),
            hint=Setting("vectors", "FILE.csv", note="with the column 'path' and a column for each number"),
        )
    with closing(source.items()) as items:
        names = [item.name for item in items]
    named = table.named(names)
    return Numbers(table=named, unused=len(named.values) - len(set(names)))
