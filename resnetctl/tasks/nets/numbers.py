"""The numbers of pictures for `predict`: from a file that names the pictures, or in their order."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.image_files import Listed
from resnetctl.data.vectors.table import SHOWN, VectorTable, as_table, read_table
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Setting
from resnetctl.spec import VectorSpec
from resnetctl.wording import counted


def require_numbers(vector: VectorSpec | None, vectors: Any) -> None:
    """Raise `UsageError` unless there are numbers for a network that reads some, and none for another."""
    if vector is None and vectors is not None:
        raise UsageError("this network reads no numbers besides the image", where=Setting("vectors"))
    if vector is not None and vectors is None:
        names = ", ".join(vector.columns[:SHOWN]) + (" ..." if len(vector.columns) > SHOWN else "")
        raise UsageError(
            f"this network reads {counted(len(vector.columns), 'number')} with each image, and none are given",
            where=Setting("vectors"),
            hint=Setting("vectors", "FILE.csv", note=f"has the column path, and {names}"),
        )


def numbers_of(pictures: Sequence[Listed], vectors: Any, *, vector: VectorSpec) -> list[NDArray[np.float32]]:
    """Return the numbers of each picture, float32 `(D,)`, in the order of `vector`.

    A CSV file names the pictures, relative to its own folder or as they are listed. The rows of other sources follow
    the order of the pictures.

    Raises `DataError` when the file cannot be used, lacks a column, or has no row for a picture.
    """
    if isinstance(vectors, str | PathLike):
        table = read_table(Path(vectors), vector.columns)
    else:
        table = as_table(vectors, vector.columns)
    if table.rows is None:
        if len(table.values) != len(pictures):
            rows = counted(len(table.values), "row")
            raise DataError(f"{rows} for {counted(len(pictures), 'image')}", where=str(table.path))
        return [*table.values]
    named = _by_place(table)
    keys = ["" if picture.file is None else str(picture.file) for picture in pictures]
    places = [named.get(str(Path(key).absolute()), named.get(key)) if key else None for key in keys]
    missing = [key or "an image in memory" for key, place in zip(keys, places, strict=True) if place is None]
    if missing:
        raise DataError(
            f"{counted(len(missing), 'image')} of {len(pictures):,} have no line",
            where=str(table.path),
            problems=missing,
            hint="the column path is relative to the folder of the file",
        )
    return [table.values[place] for place in places if place is not None]


def _by_place(table: VectorTable) -> dict[str, int]:
    """Return the row of each picture, by its name in the file and by its absolute path."""
    assert table.rows is not None, "the file names its rows"
    folder = table.path.absolute().parent
    return {**table.rows, **{str(folder / name): row for name, row in table.rows.items()}}
