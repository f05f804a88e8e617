"""The cells of the tables of `runs`: facts, config values, and marks of numbers that do not compare."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.cli.screen import tables
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.tasks.runs.difference import Parting

COLUMNS = {
    "name": "name",
    "status": "status",
    "arch": "arch",
    "data": "data",
    "recipe": "recipe",
    "seed": "seed",
    "epochs": "epochs",
    "val_top1": "val acc",
    "test_top1": "test acc",
    "created": "started",
}
RESULTS = {**COLUMNS, "epochs": "epochs trained", "seconds": "time"}  # rows of `runs compare`
ACCURACIES = ("val_top1", "test_top1")


def shown(row: Mapping[str, Any], key: str, *, test: str = "") -> str:
    """Return the cell of a row of `runs list` or `runs show`; `test` is the mark of the number on test."""
    value = row.get(key)
    mark = " *" if key == "val_top1" and row.get("best") else f" {test}" if key == "test_top1" and test else ""
    if key in ACCURACIES and row.get("primary"):
        return f"{row['primary']} {tables.percent(row.get(key.removesuffix('_top1')))}{mark}"
    if key in (*ACCURACIES, "val", "test"):
        return f"{tables.percent(value)}{mark}"
    if key == "arch" and row.get("block"):
        return f"{value} + {row['block']}"
    if key == "created" and value is not None:
        return tables.moment(value)
    if key == "epochs" and row.get("status") != "finished" and row.get("epochs_planned"):
        return f"{value}/{row['epochs_planned']}"
    return "" if value is None else str(value)


def marks_of_test(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a letter for each run whose number on test is of other images than that of another run on this dataset.

    Runs of one dataset with the same letter have the same test images. A number without recorded images has none.
    """
    images: dict[str, list[str]] = {}
    for row in rows:
        known = images.setdefault(str(row.get("data")), [])
        if row.get("test_images") and row["test_images"] not in known:
            known.append(row["test_images"])
    return [
        _letter(known.index(row["test_images"]))
        if len(known := images[str(row.get("data"))]) > 1 and row.get("test_images")
        else ""
        for row in rows
    ]


def _letter(place: int) -> str:
    """Return a, b, ..., z, a2, b2, ..."""
    turn, letter = divmod(place, 26)
    return f"{chr(ord('a') + letter)}{turn + 1 if turn else ''}"


def other_images(marks: Sequence[str]) -> str:
    """Return the note that explains the marks."""
    letters = ", ".join(sorted(set(marks) - {""}))
    return (
        f"{letters}: test accuracies of one dataset with different letters are of different images and do not compare. "
        "Measure each again: resnetctl eval RUN"
    )


def result(key: str, value: Any) -> str:
    """Return the cell of a result of `runs compare`."""
    if key in ACCURACIES:
        return tables.percent(value, 2)
    if key == "seconds":
        return "-" if value is None else tables.duration(value)
    return str(value)


def toml(value: object) -> str:
    """Return a value as it is in a config, `-` for None."""
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def setting(key: str, value: object) -> str:
    """Return a config value for a table: of a digest the beginning, and a path from here."""
    if isinstance(value, str) and key.endswith("sha256"):
        return value[:12]
    return tables.short(Path(value)) if isinstance(value, str) and os.path.isabs(value) else toml(value)


def short(one: object, other: object) -> tuple[str, str]:
    """Return two values with six digits, or with all of them where six do not tell them apart."""
    first, second = (f"{value:.6g}" if isinstance(value, float) else toml(value) for value in (one, other))
    return (first, second) if first != second else (toml(one), toml(other))


def parted(curves: "Parting") -> str:
    """Return the sentence on the curves."""
    if curves.epoch is not None:
        before = f" ({counted(curves.equal, 'equal epoch')})" if curves.equal else ""
        return f"The curves differ from epoch {curves.epoch}{before}:"
    if not curves.equal:
        return "No epoch of both runs can be compared"
    rest = "" if curves.epochs[0] == curves.epochs[1] else f"; one run has {counted(max(curves.epochs), 'epoch')}"
    return f"The curves are equal to the last digit for {counted(curves.equal, 'epoch')}{rest}"
