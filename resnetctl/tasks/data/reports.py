"""The reports of the `data` verbs: frozen, each with its JSON document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resnetctl.spec import DatasetCard

if TYPE_CHECKING:
    from resnetctl.data.checks import Finding


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One dataset of a list. `card` is None when it is not in the store; `problem` says why a card is unreadable."""

    name: str
    distribution: str | None  # of the plugin that offers it; None for added images
    card: DatasetCard | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ListReport:
    """The datasets in the store and those that plugins offer."""

    data_dir: Path
    datasets: tuple[Listed, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document `resnetctl.data.list/1`."""
        rows = [
            {
                "name": row.name,
                "in_store": row.card is not None,
                "distribution": row.distribution,
                "card": row.card.to_json() if row.card else None,
                "problem": row.problem or None,
            }
            for row in self.datasets
        ]
        return {"schema": "resnetctl.data.list/1", "data_dir": str(self.data_dir), "datasets": rows}


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The result of `get`, `add` or `remove`. `done` is False when the dataset was in the store already."""

    verb: Literal["get", "add", "remove"]
    name: str
    path: Path
    card: DatasetCard | None
    done: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the document `resnetctl.data.get/1`, or of `add` or `remove`."""
        return {
            "schema": f"resnetctl.data.{self.verb}/1",
            "name": self.name,
            "path": str(self.path),
            "done": self.done,
            "card": self.card.to_json() if self.card else None,
        }


@dataclass(frozen=True, kw_only=True)
class ShowReport:
    """A dataset's card, and images by class and split: `counts[class][split]`."""

    name: str
    path: Path
    card: DatasetCard
    counts: Mapping[str, Mapping[str, int]]
    sheet: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document `resnetctl.data.show/1`."""
        return {
            "schema": "resnetctl.data.show/1",
            "name": self.name,
            "path": str(self.path),
            "card": self.card.to_json(),
            "counts": {label: dict(counts) for label, counts in self.counts.items()},
            "sheet": str(self.sheet) if self.sheet else None,
        }


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """The findings of `data check` in `images` images. `failed`: one of them is an error."""

    target: str
    images: int
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the document `resnetctl.data.check/1`."""
        return {
            "schema": "resnetctl.data.check/1",
            "target": self.target,
            "images": self.images,
            "failed": self.failed,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }
