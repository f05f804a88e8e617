"""The reports of the `data` verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from resnetctl.fields import plain
from resnetctl.report.base import Report
from resnetctl.spec import DatasetCard

if TYPE_CHECKING:
    from resnetctl.data.checks import Finding
    from resnetctl.tasks.near import NearPair


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One line of `data list`. `card` is None outside the store; `problem` says why a card cannot be read."""

    name: str
    distribution: str | None  # of the plugin that offers it; None: the user added it
    card: DatasetCard | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ListReport(Report):
    """All datasets in the store, and all datasets that can be fetched."""

    schema: ClassVar[str] = "resnetctl.data.list/1"
    data_dir: Path
    datasets: tuple[Listed, ...]

    def body(self) -> dict[str, Any]:
        """Return the data folder and one row per dataset."""
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
        return {"data_dir": str(self.data_dir), "datasets": rows}


@dataclass(frozen=True, kw_only=True)
class DataReport(Report):
    """A dataset after `get`, `add` or `remove`. `done` is False if there was nothing to do."""

    name: str
    path: Path
    done: bool = True
    card: DatasetCard | None


@dataclass(frozen=True, kw_only=True)
class GetReport(DataReport):
    """A dataset that was fetched."""

    schema: ClassVar[str] = "resnetctl.data.get/1"


@dataclass(frozen=True, kw_only=True)
class AddReport(DataReport):
    """A dataset that was added from images of the user."""

    schema: ClassVar[str] = "resnetctl.data.add/1"


@dataclass(frozen=True, kw_only=True)
class RemoveReport(DataReport):
    """A dataset that was removed."""

    schema: ClassVar[str] = "resnetctl.data.remove/1"


@dataclass(frozen=True, kw_only=True)
class ShowReport(Report):
    """The card of a dataset, and its images by class and split: `counts[class][split]`.

    In datasets of boxes or masks, `counts` has boxes or pixels, and `empty` the images without any, by split.
    """

    schema: ClassVar[str] = "resnetctl.data.show/1"
    name: str
    path: Path
    card: DatasetCard
    counts: Mapping[str, Mapping[str, int]]
    empty: Mapping[str, int] | None = None
    sheet: Path | None = None

    def body(self) -> dict[str, Any]:
        """Return the fields; `empty` for boxes and masks only."""
        values = super().body()
        return {key: value for key, value in values.items() if key != "empty" or value is not None}


@dataclass(frozen=True, kw_only=True)
class CheckReport(Report):
    """The findings of `data check` in `images` images. `failed` is True if a finding is an error.

    `pairs` are near-duplicates across splits, best first; None when they were not searched.
    """

    schema: ClassVar[str] = "resnetctl.data.check/1"
    target: str
    images: int
    findings: tuple[Finding, ...]
    pairs: tuple[NearPair, ...] | None = None

    @property
    def failed(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def body(self) -> dict[str, Any]:
        """Return the target, the number of images, the verdict and the findings."""
        return {
            "target": self.target,
            "images": self.images,
            "failed": self.failed,
            "findings": plain(self.findings),
            **({} if self.pairs is None else {"pairs": [pair.to_json() for pair in self.pairs]}),
        }
