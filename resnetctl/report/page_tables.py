"""Tables of a report that have no plot, as a header and rows of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from resnetctl.report.plots import words

Document = Mapping[str, Any]
Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]  # title, header, rows
SCORES = {
    "msp": "largest probability",
    "energy": "energy",
    "knn": "distance to train",
    "means": "distance to classes",
}


def by_severity(found: Document) -> Iterator[Table]:
    """Yield the calibration error, and the coverage if sets were measured, of each kind of corruption by severity."""
    kinds = list(dict.fromkeys(cell["kind"] for cell in found["cells"]))
    steps = sorted({cell["severity"] for cell in found["cells"]})
    values = {(cell["kind"], cell["severity"]): cell for cell in found["cells"]}
    yield (
        "Calibration error by severity",
        ("kind", *map(str, steps)),
        [(words(kind), *(f"{values[kind, step]['ece']:.3f}" for step in steps)) for kind in kinds],
    )
    if found["level"] is not None:
        yield (
            f"Coverage of the {100 * found['level']:.0f}\u00a0% sets by severity, in percent",
            ("kind", *map(str, steps)),
            [(words(kind), *(f"{100 * values[kind, step]['coverage']:.1f}" for step in steps)) for kind in kinds],
        )


def by_score(found: list[Document]) -> Iterator[Table]:
    """Yield the AUROC, and the false alarms, of each set of strange images by score."""
    sets = list(dict.fromkeys((item["set"], item["n"]) for item in found))
    names = [name for name in SCORES if any(item["score"] == name for item in found)]
    values = {(item["set"], item["score"]): item for item in found}
    for title, key, factor, digits in (
        ("AUROC", "auroc", 1, 3),
        ("False alarms, in percent, when 95\u00a0% of the strange are noticed", "fpr95", 100, 1),
    ):
        rows = [
            (f"{one} ({n:,})", *(f"{factor * values[one, name][key]:.{digits}f}" for name in names)) for one, n in sets
        ]
        yield title, ("strange images", *(SCORES[name] for name in names)), rows
