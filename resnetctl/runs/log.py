"""The logs of a run: files of one JSON object a line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetctl.errors import InputError
from resnetctl.system import storage

MAX_LOG = 2**26  # bytes; 100,000 epochs have 30 MB


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a log up to the first damaged line, [] without a file. Raises `InputError` over 64 MiB.

    A killed process leaves half of the last line.
    """
    if not path.exists():
        return []
    lines = []
    for line in storage.read_capped(path, MAX_LOG, error=InputError).splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(values, dict):
            break
        lines.append(values)
    return lines


def with_speed(metrics: Sequence[Mapping[str, Any]], timings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, each with the `images_per_second` of its line in timings.jsonl."""
    rates = (line.get("images_per_second") for line in timings)
    return [{**line, "images_per_second": next(rates, None)} for line in metrics]


def to_document(values: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON document, indented."""
    return (json.dumps(dict(values), indent=2) + "\n").encode()


def to_line(values: Mapping[str, Any]) -> bytes:
    """Return an object as one line of a log."""
    return (json.dumps(values) + "\n").encode()


def kept_line(metrics: Sequence[Mapping[str, Any]], *, keep: Any) -> Mapping[str, Any]:
    """Return the line of the epoch whose weights the run has: the best so far or the last; {} before the first."""
    bests = [line for line in metrics if line.get("best") and keep != "last"]
    return (bests or [*metrics] or [{}])[-1]


def val_key(line: Mapping[str, Any]) -> str:
    """Return the key of the number on val that decides the best epoch, `val_top1` or e.g. `val_map50`; "" without val.

    A network with a head has several numbers, of which the deciding one is logged first.
    """
    return "val_top1" if "val_top1" in line else next((key for key in line if key.startswith("val_")), "")
