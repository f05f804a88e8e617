"""`report`: what a network is worth: calibration, prediction sets, abstaining, a comparison.

The main numbers come from one pass over test and one over val. Corruptions, strangers and maps need more passes. The
outputs of a pass are stored in the run, by digests of weights and images, so a second report reads them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Unpack

from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.data.store import Store
from resnetctl.errors import DataError
from resnetctl.facts import Progress, result_of
from resnetctl.hints import Setting
from resnetctl.report.pictures import Gallery
from resnetctl.spec import Calibration, Split
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import class_order, listed, open_data, require_split, split_notices
from resnetctl.tasks.judge import Judge, open_judge
from resnetctl.tasks.report.calibrate import require_enough, require_new, write_calibrated
from resnetctl.tasks.report.corrupted import corrupted, require_kinds, samples
from resnetctl.tasks.report.document import Against, ReportOptions, TrustReport
from resnetctl.tasks.report.doubted import doubted
from resnetctl.tasks.report.duplicates import duplicates, pair_pictures, said
from resnetctl.tasks.report.explained import explained
from resnetctl.tasks.report.nets import NetReport, net_report
from resnetctl.tasks.report.provenance import compressed, epochs, provenance
from resnetctl.tasks.report.strange import open_strange, told_apart
from resnetctl.tasks.targets import has_head, resolve
from resnetctl.trust.assessment import assess, compare_classes, compare_evidence, drawbacks, notices
from resnetctl.trust.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a report.

    Attributes:
        data: dataset name, folder, archive or CSV, stored first if needed; by default that of the training.
        split: `test` or `val`; val replaces a missing test.
        against: another model with the same classes, to compare on the same images.
        ood: datasets in the store whose images are of another kind, and `noise` for generated images; by default
            those without a class of this one, and noise.
        quick: leave out what takes long: corrupted images, strangers (unless `ood` names them), duplicates and maps.
        corruption: kinds of corrupted images, or `all`; by default the five of `FIVE`.
        cifar_c: folder with the published files of CIFAR-10-C, which replace the images made here.
        calibrate: new weights file to write: the target's, with temperature and prediction sets in the card.
    """

    data: str | PathLike[str] | None = None
    split: Split = "test"
    against: str | PathLike[str] | None = None
    ood: Sequence[str] = ()
    quick: bool = False
    corruption: Sequence[str] = ()
    cifar_c: str | PathLike[str] | None = None
    calibrate: str | Path | None = None


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """The outputs of the target on the measured split and on val, and those of the other model."""

    measured: Evidence
    val: Evidence | None
    other: Evidence | None
    chosen: Calibration | None  # what the card decided before this report


def report(
    target: str | Path | None, *, settings: Settings, **options: Unpack[ReportOptions]
) -> TrustReport | NetReport:
    """Do the work of `reporting` and return its report."""
    return result_of(reporting(target, settings=settings, **options))


def reporting(
    target: str | Path | None, *, settings: Settings, **options: Unpack[ReportOptions]
) -> Generator[Progress, None, TrustReport | NetReport]:
    """Judge a network on a split; yield progress. val chooses temperature and thresholds, the split measures them.

    Args:
        options: see `Request`. A network with a head takes `data`, `split` and `quick`.

    Raises:
        UsageError: `split` is not one of these two, `ood` names the dataset itself, or this machine has no such device.
        InputError: a target or data are missing, or classes differ.
        WorkFailed: the output of a network is not finite; nothing was stored.
    """
    request = Request(**_with_lists(options))
    require_split(request.split)
    kinds = require_kinds(request.corruption)
    resolved = resolve(target, settings)
    if has_head(resolved):
        return net_report(resolved, settings, asked=options)
    return (yield from _of_classifier(open_judge(resolved, settings), request, kinds=kinds))


def _with_lists(options: ReportOptions) -> dict[str, Any]:
    """Return the options with a list of one item where one text stands for it."""
    lists = ("ood", "corruption")
    return {name: [value] if name in lists and isinstance(value, str) else value for name, value in options.items()}


def _of_classifier(judge: Judge, request: Request, *, kinds: Sequence[str]) -> Generator[Progress, None, TrustReport]:
    """Do the work of `reporting` for a classifier."""
    settings = judge.settings
    if request.calibrate is not None:
        require_new(judge.target, Path(request.calibrate))
    other = None if request.against is None else open_judge(resolve(fspath(request.against), settings), settings)
    store = _open_data(judge, other, request)
    sets = open_strange(request.ood, store, judge=judge, quick=request.quick)
    images = open_eval_set(store, request.split, val_split=judge.card.split)
    passes = _run(judge, other, request, store=store, images=images)
    out, card = request.calibrate, judge.card
    calibrated = None
    if out is not None:
        chooser = passes.measured if images.split == "val" else passes.val
        calibrated = write_calibrated(judge.target, chooser, out=Path(out))
    judged = assess(passes.measured, passes.val, chosen=passes.chosen)
    looks = judge.look(store, images, measured=passes.measured)
    strange = tuple(told_apart(judge, passes.measured, val=passes.val, images=images, store=store, sets=sets))
    folder = None if request.cifar_c is None else Path(request.cifar_c)
    scale = judged.calibration.temperature
    doubts, doubted_pictures = doubted(passes.measured, images, store=store, classes=card.classes, temperature=scale)
    shift = found = maps = None
    gallery = Gallery(suspects=doubted_pictures)
    if not request.quick:
        shift = yield from corrupted(judge, judged, images=images, store=store, kinds=kinds, published=folder)
        found = yield from duplicates(store, images, measured=passes.measured)
        maps = explained(judge, passes.measured, images=images, store=store, temperature=scale)
        gallery = replace(
            gallery,
            corruptions={} if folder else samples(judge, images, kinds=kinds),
            duplicates=pair_pictures(found, images, store=store),
            maps=() if maps is None else maps.pictures,
        )
    return TrustReport(
        looks=looks,
        epochs=epochs(judge.target.run),
        provenance=provenance(card, judge.target.path, store=store, images=images, weights=judge.weights),
        target=judge.target.path,
        weights=judge.weights,
        data=store.card.name,
        split=images.split,
        accuracy=passes.measured.measured(card.classes),
        assessment=judged,
        rankings=passes.measured.rankings(card.classes, temperature=scale),
        calibrated=calibrated,
        corruptions=shift,
        ood=strange,
        suspects=doubts,
        duplicates=found,
        maps=maps,
        compressed=compressed(judge.target.run),
        gallery=gallery,
        against=None if other is None else _against(judge, other, passes),
        notices=(
            *judge.said,
            *split_notices(store, card, requested=request.split, used=images.split),
            *notices(passes.measured, passes.val, classes=card.classes, split=images.split, chosen=passes.chosen),
            *drawbacks(judged),
            *(() if found is None else said(found, images.split)),
            *(() if other is None else _pair_notices(judge, other)),
        ),
    )


def _open_data(judge: Judge, other: Judge | None, request: Request) -> Store:
    """Return the dataset, with the classes of both models."""
    store, told = open_data(request.data, judge.card, path=judge.target.path, settings=judge.settings, verb="report")
    judge.said.extend(told)
    class_order(store.card.classes, judge.card.classes, name=store.card.name, path=judge.target.path)
    if other is not None:
        _require_same_classes(judge, other)
    return store


def _require_same_classes(judge: Judge, other: Judge) -> None:
    """Raise `DataError` unless both networks have the same classes, in any order."""
    mine, its = set(judge.card.classes), set(other.card.classes)
    if mine != its:
        only = {judge.target.path: mine - its, other.target.path: its - mine}
        raise DataError(
            "the two networks have different classes, so they cannot be compared",
            where=str(other.target.path),
            problems=[f"only {path} has: {listed(sorted(names))}" for path, names in only.items() if names],
            hint=Setting("against", "TARGET", note="a network that was trained on the same classes"),
        )


def _run(judge: Judge, other: Judge | None, request: Request, *, store: Store, images: ImageSet) -> _Passes:
    """Run or read the passes, and count the look of the other model."""
    is_val = images.split == "val"
    val = None if is_val else _val(store, judge)
    measured = judge.evidence(store, images) if is_val else None
    if request.calibrate is not None:
        require_enough(judge.target, measured if is_val else val)
    measured = judge.evidence(store, images) if measured is None else measured
    its = None if other is None else other.evidence(store, images)
    if other is not None and its is not None:
        other.look(store, images, measured=its)
    is_new = is_val or request.calibrate is not None
    return _Passes(measured=measured, val=val, other=its, chosen=None if is_new else judge.card.calibration)


def _val(store: Store, judge: Judge) -> Evidence | None:
    """Return the pass over val, None when training had none."""
    try:
        images = open_eval_set(store, "val", val_split=judge.card.split)
    except DataError as error:
        if judge.card.split is not None:  # val cannot be drawn again
            judge.said.append(error.message)
        return None
    return judge.evidence(store, images) if len(images) else None


def _against(judge: Judge, other: Judge, passes: _Passes) -> Against:
    assert passes.other is not None
    # the outputs of the other network may have another order: bring its classes into the order of this one
    order = class_order(judge.card.classes, other.card.classes, name=str(judge.target.path))
    same = Evidence(logits=passes.other.logits[:, order], labels=passes.measured.labels)
    return Against(
        target=other.target.path,
        comparison=compare_evidence(passes.measured, same),
        classes=tuple(compare_classes(passes.measured, same, classes=judge.card.classes)),
    )


def _pair_notices(judge: Judge, other: Judge) -> Iterator[str]:
    yield from other.said
    if judge.weights == other.weights:
        yield "both files have the same weights"
    yield "the comparison is of these two files, not of these recipes: compare recipes over three seeds or more"
