"""`eval`: measure the accuracy of a run, a weights file or an ONNX file on a split, by default test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

from resnetctl import registry
from resnetctl.data.splits import ImageSet, split_digest
from resnetctl.data.store import Store
from resnetctl.engine.meters.gates import Gates, Limits
from resnetctl.engine.meters.scores import ClassRanking, Scores
from resnetctl.engine.metrics import EvalReport, measure
from resnetctl.engine.predictors import with_mirrored
from resnetctl.errors import UsageError
from resnetctl.fields import plain
from resnetctl.hints import Setting
from resnetctl.models.published import Published, differences, published
from resnetctl.spec import SPLITS, Split, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import (
    Judged,
    class_order,
    image_names,
    listed,
    look,
    open_data,
    open_part,
    relabelled_batches,
    require_images_file,
    split_notices,
    unchecked,
    write_images,
)
from resnetctl.tasks.nets.answers import open_net
from resnetctl.tasks.nets.measured import Asked, NetOutcome, measure_net
from resnetctl.tasks.targets import Target, has_head, open_target, resolve, write_outcome
from resnetctl.wording import counted

Tta = Literal["none", "flip"]
COLUMNS = ("split", "row", "file", "class", "predicted", "probability", "loss")  # of the file of images


class How(Limits, total=False):
    """Limits, and `tta`: with `flip`, each image is also seen mirrored, and the logits of both are averaged."""

    tta: Tta


@dataclass(frozen=True, kw_only=True)
class EvalOutcome(Judged):
    """The accuracy of one file on one split.

    Attributes:
        report: the numbers.
        published: a published accuracy of the arch, None without one.
        incomparable: what keeps it from being compared with this one.
        rankings: how well each class is ranked; None when that is too much work.
        tta: the test-time augmentation, `none` or `flip`.
    """

    FIGURES = ("report",)
    report: EvalReport
    published: Published | None = None
    incomparable: tuple[str, ...] = ()
    rankings: tuple[ClassRanking, ...] | None = None
    tta: Tta = "none"

    @property
    def numbers(self) -> EvalReport:
        """The report."""
        return self.report

    def body(self) -> dict[str, Any]:
        """Return the numbers, then data, split and target."""
        return {
            **self.report.to_json(),
            **self.report.derived(),
            "published": self.published and {**self.published.to_json(), "incomparable": list(self.incomparable)},
            "rankings": plain(self.rankings),
            "tta": self.tta,
            **self.rest(),
        }


def evaluate(
    target: str | Path | None,
    *,
    settings: Settings,
    data: str | None = None,
    split: Split = "test",
    device: str | None = None,
    per_image: str | Path | None = None,
    **how: Unpack[How],
) -> EvalOutcome | NetOutcome:
    """Measure `target` and write the report into its run.

    Args:
        data: dataset name, folder, archive or CSV, stored first if needed; by default the dataset that the weights were
            trained on.
        split: val replaces a missing test. If training cut val out of train, the same val is cut out again; train is
            then what is left.
        per_image: CSV file to write, with what each image was given, the largest loss first.
        how: test-time augmentation, and limits: the outcome's `require` raises when a figure is below its limit.

    Raises:
        UsageError: `split` is unknown, a limit is not a fraction, or this machine has no such `device`.
        InputError: target or data are missing, or their classes differ.
    """
    if split not in SPLITS:
        raise UsageError(f"{split!r} is no split to measure", where=Setting("split"), hint="test, val or train")
    tta = _tta(how.pop("tta", "none"))
    gates = Gates.of(how)
    if per_image is not None:
        require_images_file(Path(per_image), columns=COLUMNS)
    resolved = resolve(target, settings)
    if has_head(resolved):
        if tta != "none":
            raise UsageError("test-time augmentation works for classifiers only", where=Setting("tta"))
        path = None if per_image is None else Path(per_image)
        return _of_net(resolved, settings, data=data, split=split, device=device, gates=gates, per_image=path)
    opened = open_target(resolved, settings, device=device)
    store, told = open_data(data, opened.card, path=resolved.path, settings=settings)
    images = open_part(store, opened.card, split=split)
    order = class_order(store.card.classes, opened.card.classes, name=store.card.name, path=resolved.path)
    batches = relabelled_batches(images, opened.card, order=order, as_stored=opened.takes_originals)
    reference = published(opened.card.arch)
    scores = Scores(opened.card.classes, opened.card.temperature)
    predict = with_mirrored(opened.predict) if tta == "flip" else opened.predict
    report = measure(predict, batches, classes=opened.card.classes, each=scores.add)
    looks, said = look(store, images, weights=opened.digest, target=resolved.path, report=report)
    outcome = EvalOutcome(
        report=report,
        target=resolved.path,
        data=store.card.name,
        split=images.split,
        epoch=None if "epoch" not in opened.card.metrics else int(opened.card.metrics["epoch"]),
        notices=(
            *resolved.notices,
            *told,
            *split_notices(store, opened.card, requested=split, used=images.split),
            *_warnings(report, split=images.split),
            *_unlike_training(tta, store),
            *_resized_twice(store, opened.card),
            *unchecked(gates, report),
            *said,
        ),
        published=reference,
        incomparable=tuple(_incomparable(reference, store, images, opened.card)) if reference else (),
        rankings=scores.rankings(),
        tta=tta,
        gates=gates,
        looks=looks,
        images=split_digest(images),
    )
    outcome = write_outcome(outcome, resolved, variant="" if tta == "none" else tta)
    if per_image is None:
        return outcome
    return write_images(outcome, Path(per_image), rows=_image_rows(scores, images, store), columns=COLUMNS)


def _tta(name: Tta) -> Tta:
    """Return the test-time augmentation. Raises `UsageError` when it is unknown."""
    if name not in ("none", "flip"):
        raise UsageError(f"{name!r} is no test-time augmentation", where=Setting("tta"), hint="none or flip")
    return name


def _of_net(
    target: Target, settings: Settings, *, data: str | None, split: Split, device: str | None, **asked: Unpack[Asked]
) -> NetOutcome:
    net = open_net(target, settings, device=device)
    store, told = open_data(data, net.card, path=target.path, settings=settings)
    asked = {**asked, "weights": net.digest}
    return measure_net(net, store, split=split, target=target, told=tuple(told), **asked)


def _warnings(report: EvalReport, *, split: str) -> Iterator[str]:
    """Yield what the accuracy hides: classes without an image, or never predicted, and a net like a constant."""
    if absent := report.without_images:
        total = len(report.per_class)
        names = listed([f"'{item.name}'" for item in absent])
        yield (
            f"{split} has no image of {names}: the accuracy says nothing about {'it' if len(absent) == 1 else 'them'}, "
            f"and the balanced accuracy is that of {total - len(absent)} of {total} classes"
        )
    if ignored := report.never_predicted:
        names = listed([f"'{item.name}' ({counted(item.count, 'image')})" for item in ignored])
        yield f"never predicted: {names}"
    if ignored and report.top1 <= report.baseline:
        yield f"the accuracy is no better than always answering '{report.majority.name}'"


def _unlike_training(tta: Tta, store: Store) -> Iterator[str]:
    """Yield that mirroring changes what an image of this dataset shows."""
    if tta == "flip" and not store.card.defaults.get("mirror", True):
        yield f"a mirrored image of '{store.card.name}' may belong to another class, so that flip can do harm"


def _resized_twice(store: Store, card: WeightsCard) -> Iterator[str]:
    """Yield that `predict` gets other pixels from a file than the store: those were resized once more, to be stored."""
    stored, size = store.card.image.resize, card.image.resize
    if stored == size or store.card.name in registry.names("dataset"):  # the pictures of a built-in have one size
        return
    verb = "reduced" if size < stored else "enlarged"
    yield (
        f"images are stored with {stored} px and {verb} to {size} px here, where `predict` resizes a file at once: its "
        f"answers may differ a little; `data add` with {size} px makes the pixels the same"
    )


def _incomparable(reference: Published, store: Store, images: ImageSet, card: WeightsCard) -> Iterator[str]:
    """Yield what keeps the accuracy from being compared with the published one."""
    wanted = registry.get("dataset", reference.data).card.digests if reference.data == store.card.name else {}
    is_its_data = bool(wanted) and wanted.items() <= store.card.digests.items()
    yield from differences(reference, is_its_data=is_its_data, split=images.split, image=card.image)


def _image_rows(scores: Scores, images: ImageSet, store: Store) -> Iterator[tuple[object, ...]]:
    """Yield the `COLUMNS` of each image."""
    names = image_names(images, store)
    for item in scores.images():
        yield (
            images.split, *names[item.place],
            item.label, item.predicted, f"{item.probability:.6g}", f"{item.loss:.6g}",
        )  # fmt: skip
