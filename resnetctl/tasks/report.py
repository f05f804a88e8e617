"""`report`: what a network is worth: calibration, prediction sets, abstaining, a comparison. One pass over the images.

The outputs of the pass are stored in the run, by digests of weights and images. A second report runs no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from resnetctl import __version__
from resnetctl.data.splits import ImageSet, digest, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.engine.device import pick_device, pick_threads
from resnetctl.engine.metrics import EvalReport, Images, Logits
from resnetctl.engine.predictors import FeaturePredictor, feature_predictor
from resnetctl.errors import DataError, UsageError
from resnetctl.report.base import Report
from resnetctl.report.page import fragment, page, plot_files
from resnetctl.spec import Split, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import (
    Looks,
    class_order,
    look,
    relabelled_batches,
    require_split,
    split_notices,
    trained_on,
)
from resnetctl.tasks.targets import Target, described, resolve
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
from resnetctl.trust.evidence import Evidence, collect, from_bytes, to_bytes

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
        if self.against is not None:
            document["comparison"] = self.against.to_json()
        return {**document, "notices": list(self.notices)}

    def write_html(self, path: str | Path) -> Path:
        """Write the page: one file without a script that loads nothing. Return its path."""
        storage.write(Path(path), page(self.to_json(), epochs=self.epochs, provenance=self.provenance))
        return Path(path)

    def write_plots(self, folder: str | Path) -> list[Path]:
        """Write each plot as an SVG file into `folder`, which is created. Return their paths."""
        storage.make_folder(Path(folder))
        drawn = plot_files(self.to_json(), epochs=self.epochs)
        for name, data in drawn.items():
            storage.write(Path(folder) / name, data)
        return [Path(folder) / name for name in drawn]

    def _repr_html_(self) -> str:
        """Return the content of the page, which a notebook shows."""
        return fragment(self.to_json(), epochs=self.epochs, provenance=self.provenance)


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Collects the outputs of one target on the splits of a store; `said` gathers sentences for the user."""

    target: Target
    card: WeightsCard
    weights: str
    settings: Settings
    device: str | None
    said: list[str]

    def evidence(self, store: Store, images: ImageSet) -> Evidence:
        """Return the stored pass over `images`, or run one and store it in the run."""
        name = f"{self.weights[:HEX]}-{_split_digest(images)[:HEX]}" + ("-onnx" if self.target.kind == "onnx" else "")
        run = self.target.run
        if run is not None and run.pass_file(name).is_file():
            stored = from_bytes(run.pass_file(name).read_bytes(), count=len(images), classes=len(self.card.classes))
            if stored is not None:
                return stored
        order = class_order(store.card.classes, self.card.classes, name=store.card.name)
        result = collect(self._predictor(), relabelled_batches(images, self.card, order=order))
        if run is not None:
            try:
                run.write_pass(name, to_bytes(result))
            except UsageError as error:
                self.said.append(f"the outputs were not stored, so the next report needs another pass: {error}")
        return result

    def look(self, store: Store, images: ImageSet, measured: Evidence) -> Looks | None:
        """Record that this model was judged on `images`."""
        numbers = measured.measured(self.card.classes)
        looks, said = look(store, images, weights=self.weights, target=self.target.path, report=numbers)
        self.said.extend(said)
        return looks

    def _predictor(self) -> FeaturePredictor:
        if self.target.kind == "onnx":
            return _onnx_predictor(self.target.path, self.settings)
        import torch

        from resnetctl.weights.file import load_model

        where = pick_device(self.device or self.settings.device)
        net, card = load_model(self.target.path)
        torch.set_num_threads(pick_threads(self.settings.threads, arch=card.arch, size=card.image.size))
        return feature_predictor(net, card.image, device=where)


def report(
    target: str | Path | None,
    *,
    settings: Settings,
    data: str | None = None,
    split: Split = "test",
    against: str | Path | None = None,
    device: str | None = None,
) -> TrustReport:
    """Judge a network on `split`. val chooses temperature and thresholds, and `split` measures them.

    Args:
        data: a dataset in the store; by default the one that the weights were trained on.
        split: `test` or `val`; val replaces a missing test.
        against: another model with the same classes, to compare on the same images.

    Raises:
        UsageError: `split` is not one of these two, or this machine has no such `device`.
        InputError: a target or data are missing, or classes differ.
        WorkFailed: the output of a network is not finite; nothing was stored.
    """
    require_split(split)
    judge = _judge(target, settings, device)
    other = None if against is None else _judge(against, settings, device)
    name = data or trained_on(judge.card, judge.target.path, verb="report")
    store = open_store(settings.data_dir, name)
    for each in (judge, other):
        if each is not None:
            class_order(store.card.classes, each.card.classes, name=store.card.name)
    images = open_eval_set(store, split, val_split=judge.card.split)
    val = None if images.split == "val" else _val(store, judge)
    measured = judge.evidence(store, images)
    its = None if other is None else other.evidence(store, images)
    if other is not None and its is not None:
        other.look(store, images, its)
    looks = judge.look(store, images, measured)
    judged = assess(measured, val)
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
        against=None if other is None or its is None else _against(judge, measured, other, its),
        notices=(
            *judge.said,
            *split_notices(store, judge.card, requested=split, used=images.split),
            *notices(measured, val, classes=judge.card.classes, split=images.split),
            *drawbacks(judged),
            *(() if other is None else _pair_notices(judge, other)),
        ),
    )


def _provenance(judge: _Judge, store: Store, images: ImageSet) -> dict[str, str]:
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


def _judge(target: str | Path | None, settings: Settings, device: str | None) -> _Judge:
    resolved = resolve(target, settings)
    card, weights = described(resolved)
    return _Judge(
        target=resolved, card=card, weights=weights, settings=settings, device=device, said=list(resolved.notices)
    )


def _val(store: Store, judge: _Judge) -> Evidence | None:
    """Return the pass over val, None when training had none."""
    try:
        images = open_eval_set(store, "val", val_split=judge.card.split)
    except DataError as error:
        if judge.card.split is not None:  # val cannot be drawn again
            judge.said.append(error.message)
        return None
    return judge.evidence(store, images) if len(images) else None


def _against(judge: _Judge, measured: Evidence, other: _Judge, its: Evidence) -> Against:
    # the outputs of the other network may have another order: bring its classes into the order of this one
    order = class_order(judge.card.classes, other.card.classes, name=str(judge.target.path))
    same = Evidence(logits=its.logits[:, order], labels=measured.labels)
    return Against(
        target=other.target.path,
        comparison=compare_evidence(measured, same),
        classes=tuple(compare_classes(measured, same, classes=judge.card.classes)),
    )


def _pair_notices(judge: _Judge, other: _Judge) -> Iterator[str]:
    yield from other.said
    if judge.weights == other.weights:
        yield "both files have the same weights"
    yield "the comparison is of these two files, not of these recipes: compare recipes over three seeds or more"


def _split_digest(images: ImageSet) -> str:
    """Return a digest of the images of a set: of the stored split's file and of the rows."""
    return hashlib.sha256(json.dumps([images.store_digest, digest(images.index)]).encode()).hexdigest()


def _onnx_predictor(path: Path, settings: Settings) -> FeaturePredictor:
    from resnetctl.deploy import onnx_session
    from resnetctl.deploy.onnx_checks import check

    data = onnx_session.read_bytes(path)
    card = check(data, str(path))
    threads = pick_threads(settings.threads, arch=card.weights.arch, size=card.weights.image.size)
    model = onnx_session.start(data, card, where=str(path), threads=threads)

    def predict(images: Images) -> tuple[Logits, None]:
        return model.logits(images), None

    return predict
