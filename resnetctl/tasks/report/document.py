"""What `report` found, as data: the JSON document, the page and the plots are made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, TypedDict

from resnetctl.engine.meters.scores import ClassRanking
from resnetctl.engine.metrics import EvalReport
from resnetctl.fields import plain
from resnetctl.report.base import Report
from resnetctl.report.page import fragment, page, plot_files
from resnetctl.report.pictures import Gallery
from resnetctl.spec import Split
from resnetctl.system import storage
from resnetctl.tasks.held_out import Looks
from resnetctl.tasks.report.duplicates import Duplicates
from resnetctl.tasks.report.explained import Maps
from resnetctl.trust.assessment import Assessment, ClassComparison, accuracy
from resnetctl.trust.compare import Comparison
from resnetctl.trust.shift import Shift
from resnetctl.trust.strangers import Strangers
from resnetctl.trust.suspects import Suspect


class ReportOptions(TypedDict, total=False):
    """The options of `report`; `report.Request` explains them."""

    data: str | PathLike[str] | None
    split: Split
    against: str | PathLike[str] | None
    ood: str | Sequence[str]
    quick: bool
    corruption: str | Sequence[str]
    cifar_c: str | PathLike[str] | None
    calibrate: str | Path | None


@dataclass(frozen=True, kw_only=True)
class Against:
    """The other model: its file, and the comparison on all images and on those of each class."""

    target: Path
    comparison: Comparison
    classes: tuple[ClassComparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison with the other file and the classes."""
        classes = [item.to_json() for item in self.classes]
        return {"other": str(self.target), **self.comparison.to_json(), "per_class": classes}


@dataclass(frozen=True, kw_only=True)
class PageReport(Report):
    """A report that has a page and plots.

    Attributes:
        epochs: the lines of the run's metrics, for the curves of the page.
        provenance: where the numbers come from, for the page.
        gallery: pictures for the page.
    """

    schema: ClassVar[str] = "resnetctl.report/1"
    epochs: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=Gallery)

    def write_html(self, path: str | Path) -> Path:
        """Write the page: one file without a script that loads nothing. Return its path."""
        storage.write(Path(path), page(self.to_json(), **self._rest()))
        return Path(path)

    def write_plots(self, folder: str | Path) -> list[Path]:
        """Write each plot as an SVG file into `folder`, which is created. Return their paths."""
        storage.make_folder(Path(folder), parents=True)
        drawn = plot_files(self.to_json(), epochs=self.epochs)
        for name, data in drawn.items():
            storage.write(Path(folder) / name, data)
        return [Path(folder) / name for name in drawn]

    def _repr_html_(self) -> str:
        """Return the content of the page, which a notebook shows."""
        return fragment(self.to_json(), **self._rest())

    def _rest(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "provenance": self.provenance, "gallery": self.gallery}


@dataclass(frozen=True, kw_only=True)
class TrustReport(PageReport):
    """What a network is worth on one split.

    Attributes:
        target: the measured file.
        weights: digest of its weights, preprocessing and classes.
        data: the name of the dataset.
        split: the measured split: val if the dataset has no test.
        accuracy: the numbers of `eval`; their times mean nothing here.
        assessment: calibration, sets and abstaining.
        rankings: how well each class is ranked; None when that is too much work.
        against: the comparison with another model.
        looks: how many models this test split has judged; None for val.
        ood: how well scores tell strange images from those of the split.
        corruptions: the network on corrupted images; None when they are left out.
        suspects: images whose labels the network doubts.
        duplicates: images that train has too; None when they were not searched.
        maps: what the network looked at in wrong and right images; None when they are left out.
        compressed: the report of `compress`, for a run that it made with a goal or a student; else empty.
        calibrated: the new weights file with temperature and prediction sets.
        notices: sentences for the user.
    """

    target: Path
    weights: str
    data: str
    split: Split
    accuracy: EvalReport
    assessment: Assessment
    rankings: tuple[ClassRanking, ...] | None = None
    against: Against | None = None
    looks: Looks | None = None
    ood: tuple[Strangers, ...] = ()
    corruptions: Shift | None = None
    suspects: tuple[Suspect, ...] = ()
    duplicates: Duplicates | None = None
    maps: Maps | None = None
    compressed: Mapping[str, Any] = field(default_factory=dict)
    calibrated: Path | None = None
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the document without its schema."""
        document: dict[str, Any] = {
            "target": str(self.target),
            "weights": self.weights,
            "data": self.data,
            "split": self.split,
            "count": self.accuracy.count,
            "looks": None if self.looks is None else self.looks.to_json(),
            "accuracy": accuracy(self.accuracy),
            **self.assessment.to_json(),
            "rankings": plain(self.rankings),
        }
        if self.corruptions is not None:
            document["corruptions"] = self.corruptions.to_json()
        if self.ood:
            document["ood"] = [item.to_json() for item in self.ood]
        document["suspects"] = [item.to_json() for item in self.suspects]
        if self.duplicates is not None:
            document["duplicates"] = self.duplicates.to_json()
        if self.maps is not None:
            document["explain"] = self.maps.to_json()
        if self.against is not None:
            document["comparison"] = self.against.to_json()
        if self.compressed:
            document["compressed"] = {key: self.compressed.get(key) for key in ("stages", "choice", "undone")}
        calibrated = None if self.calibrated is None else str(self.calibrated)
        return {**document, "calibrated": calibrated, "notices": list(self.notices)}
