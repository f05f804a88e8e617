"""`report`: what a network is worth: calibration, prediction sets, abstaining, a comparison. One pass over the images.

The outputs of the pass are stored in the run, by digests of weights and images. A second report runs no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from resnetctl import __version__
from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.engine.metrics import EvalReport
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Setting
from resnetctl.report.base import Report
from resnetctl.report.page import fragment, page, plot_files
from resnetctl.spec import Split
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import (
    Looks,
    class_order,
    require_split,
    split_notices,
    stored,
    trained_on,
)
from resnetctl.tasks.judge import Judge, evenly, open_judge
from resnetctl.trust.assessment import (
    Assessment,
    ClassComparison,
    accuracy,
    assess,
    compare_classes,
    compare_evidence,
    drawbacks,
    notices,
)
from resnetctl.trust.compare import Comparison
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.strangers import NOISE, Strangers, strangers

HEX = 16  # digits of a digest in a file name


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
class TrustReport(Report):
    """What a network is worth on one split.

    Attributes:
        target: the measured file.
        weights: digest of its weights, preprocessing and classes.
        data: the name of the dataset.
        split: the measured split: val if the dataset has no test.
        accuracy: the numbers of `eval`; their times mean nothing here.
        assessment: calibration, sets and abstaining.
        against: the comparison with another model.
        looks: how many models this test split has judged; None for val.
        ood: how well scores tell strange images from those of the split.
        notices: sentences for the user.
        epochs: the lines of the run's metrics, for the curves of the page.
        provenance: where the numbers come from, for the page.
    """

    schema: ClassVar[str] = "resnetctl.report/1"
    target: Path
    weights: str
    data: str
    split: Split
    accuracy: EvalReport
    assessment: Assessment
    against: Against | None = None
    looks: Looks | None = None
    ood: tuple[Strangers, ...] = ()
    notices: tuple[str, ...] = ()
    epochs: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

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
        }
        if self.ood:
            document["ood"] = [item.to_json() for item in self.ood]
        if self.against is not None:
            document["comparison"] = self.against.to_json()
        return {**document, "notices": list(self.notices)}

    def write_html(self, path: str | Path) -> Path:
        """Write the page: one file without a script that loads nothing. Return its path."""
        storage.write(Path(path), page(self.to_json(), epochs=self.epochs, provenance=self.provenance))
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
        return fragment(self.to_json(), epochs=self.epochs, provenance=self.provenance)


def report(
    target: str | Path | None,
    *,
    settings: Settings,
    data: str | None = None,
    split: Split = "test",
    against: str | Path | None = None,
    ood: Sequence[str] = (),
) -> TrustReport:
    """Judge a network on `split`. val chooses temperature and thresholds, and `split` measures them.

    Args:
        data: dataset name, folder, archive or CSV, stored first if needed; by default that of the training.
        split: `test` or `val`; val replaces a missing test.
        against: another model with the same classes, to compare on the same images.
        ood: datasets in the store whose images are of another kind, and `noise` for generated images.

    Raises:
        UsageError: `split` is not one of these two, `ood` names the dataset itself, or this machine has no such device.
        InputError: a target or data are missing, or classes differ.
        WorkFailed: the output of a network is not finite; nothing was stored.
    """
    require_split(split)
    judge = open_judge(target, settings)
    other = None if against is None else open_judge(against, settings)
    name, told = stored(data, settings) if data else (trained_on(judge.card, judge.target.path, verb="report"), [])
    store = open_store(settings.data_dir, name)
    for each in (judge, other):
        if each is not None:
            class_order(store.card.classes, each.card.classes, name=store.card.name)
    sets = [_strange(name, store, settings) for name in ood]
    images = open_eval_set(store, split, val_split=judge.card.split)
    val = None if images.split == "val" else _val(store, judge)
    measured = judge.evidence(store, images)
    its = None if other is None else other.evidence(store, images)
    if other is not None and its is not None:
        other.look(store, images, measured=its)
    looks = judge.look(store, images, measured=measured)
    judged = assess(measured, val)
    named = dict(zip(ood, sets, strict=True))
    strange = tuple(_strangers(judge, measured, images, store=store, sets=named))
    return TrustReport(
        looks=looks,
        epochs=() if judge.target.run is None else tuple(judge.target.run.metrics()),
        provenance=_provenance(judge, store, images),
        target=judge.target.path,
        weights=judge.weights,
        data=store.card.name,
        split=images.split,
        accuracy=measured.measured(judge.card.classes),
        assessment=judged,
        ood=strange,
        against=None if other is None or its is None else _against(judge, measured, other, its),
        notices=(
            *judge.said,
            *told,
            *split_notices(store, judge.card, requested=split, used=images.split),
            *notices(measured, val, classes=judge.card.classes, split=images.split),
            *drawbacks(judged),
            *(() if other is None else _pair_notices(judge, other)),
        ),
    )


def _provenance(judge: Judge, store: Store, images: ImageSet) -> dict[str, str]:
    """Return names and values of everything that decides the numbers."""
    card = judge.card
    values = {
        "file": str(judge.target.path),
        "weights, classes and preprocessing (SHA-256)": judge.weights,
        "architecture": f"{card.arch.name}, {len(card.classes)} classes, {card.image.size} px",
        "trained on": card.trained_on.get("name", ""),
        "config (SHA-256)": card.config_sha256,
        "dataset": store.card.name,
        "images of this split (SHA-256)": images.store_digest,
        "license of the dataset": store.card.licence,
        "resnetctl": __version__,
    }
    return {name: value for name, value in values.items() if value}


def _strange(name: str, store: Store, settings: Settings) -> ImageSet | None:
    """Return images of another dataset, at most `BANK` of them; None for noise."""
    if name == "noise":
        return None
    other = open_store(settings.data_dir, name)
    if set(other.card.digests.values()) & set(store.card.digests.values()):
        raise UsageError(
            f"'{name}' has the images of '{store.card.name}', so they are no strangers",
            where=Setting("ood"),
            hint="another dataset, or noise",
        )
    split: Split = "test" if {"test", "val"} & set(other.splits) else "train"
    return evenly(open_eval_set(other, split, val_split=None))


def _strangers(
    judge: Judge, measured: Evidence, images: ImageSet, *, store: Store, sets: Mapping[str, ImageSet | None]
) -> Iterator[Strangers]:
    if not sets:
        return
    others: dict[str, Evidence] = {}
    for name, strange in sets.items():
        if strange is None:
            others |= {f"noise:{kind}": judge.noise(images, kind) for kind in NOISE}
        else:
            others[name] = judge.strangers(strange)
    if measured.features is None:
        judge.said.append("an ONNX file gives no features: the distance to the training images is left out")
    bank = (
        None
        if measured.features is None
        else judge.evidence(store, evenly(open_eval_set(store, "train", val_split=None)))
    )
    yield from strangers(measured, others, bank=bank)


def _val(store: Store, judge: Judge) -> Evidence | None:
    """Return the pass over val, None when training had none."""
    try:
        images = open_eval_set(store, "val", val_split=judge.card.split)
    except DataError as error:
        if judge.card.split is not None:  # val cannot be drawn again
            judge.said.append(error.message)
        return None
    return judge.evidence(store, images) if len(images) else None


def _against(judge: Judge, measured: Evidence, other: Judge, its: Evidence) -> Against:
    # the outputs of the other network may have another order: bring its classes into the order of this one
    order = class_order(judge.card.classes, other.card.classes, name=str(judge.target.path))
    same = Evidence(logits=its.logits[:, order], labels=measured.labels)
    return Against(
        target=other.target.path,
        comparison=compare_evidence(measured, same),
        classes=tuple(compare_classes(measured, same, classes=judge.card.classes)),
    )


def _pair_notices(judge: Judge, other: Judge) -> Iterator[str]:
    yield from other.said
    if judge.weights == other.weights:
        yield "both files have the same weights"
    yield "the comparison is of these two files, not of these recipes: compare recipes over three seeds or more"
