"""What `eval` and `report` share: the images of a split with labels in the order of the model's outputs."""

import contextlib
import csv
import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike, fspath
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, TypeVar

import numpy as np

from resnetctl import registry
from resnetctl.config.layers import from_file
from resnetctl.data.cards import manifest_names, store_names
from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.engine.meters.gates import Gates
from resnetctl.engine.metrics import Z95, EvalReport, Images, Labels, wilson
from resnetctl.errors import DataError, ResnetctlError, UsageError, WorkFailed
from resnetctl.facts import Notice, Progress
from resnetctl.hints import Call, Setting
from resnetctl.report.outcomes import Measurement
from resnetctl.runs.log import val_key
from resnetctl.spec import Card, Measured, Split, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, targets
from resnetctl.trust.looks import Look, NetLook, record
from resnetctl.weights.plugins import require_plugins

SHOWN = 10  # class names in an error
SPLITS = ("test", "val")  # the splits that training did not see


@dataclass(frozen=True, kw_only=True)
class Looks(Card):
    """How many models a test split has judged, and the 95 % interval of this one that holds for all of them.

    The interval is None for a number that has none.
    """

    models: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Judged(Measurement):
    """The numbers of `eval` for one file on one split.

    Attributes:
        per_image: the file with a row for each image.
        gates: the limits that `require` checks.
        looks: how many models this test split has judged; None for val and train.
        images: digest of the measured images: numbers with the same digest are of the same images.
    """

    per_image: Path | None = None
    gates: Gates = field(default_factory=Gates)
    looks: Looks | None = None
    images: str = ""

    limits: ClassVar[tuple[str, ...]] = tuple(item.name for item in fields(Gates))  # that the numbers can have

    @property
    def numbers(self) -> EvalReport | Measured:
        """The numbers that the limits are for."""
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the limits that are not met, the numbers, and how many networks this test has judged."""
        if missed := self.gates.missed(self.numbers):
            yield "failed", "; ".join(missed)
        yield from super().rows()
        if self.looks is not None and self.looks.models > 1:
            yield "judged", f"{self.looks.models:,} networks on this test"

    def rest(self) -> dict[str, Any]:
        """Return what follows the numbers in the document: data, split and target, limits and notices."""
        return {
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "epoch": self.epoch,
            "looks": None if self.looks is None else self.looks.to_json(),
            "target": str(self.target),
            **{name: getattr(self.gates, name) for name in self.limits},
            "notices": list(self.notices),
            "per_image": None if self.per_image is None else str(self.per_image),
            "unwritten": None if self.unwritten is None else self.unwritten.headline,
        }

    def require(self) -> None:
        """Raise `CheckFailed` when a figure is below its limit, then `unwritten`. Call it after showing the numbers."""
        self.gates.check(self.numbers)
        super().require()


Outcome = TypeVar("Outcome", bound=Judged)


def look(
    store: Store, images: ImageSet, *, weights: str, target: Path, report: EvalReport | Measured
) -> tuple[Looks | None, tuple[str, ...]]:
    """Record that weights were judged on a test split. Return the looks, and notices.

    Other splits have no ledger: val is there to choose. A ledger that cannot be written becomes a notice.
    """
    if images.split != "test" or not images.store_digest:
        return None, ()
    whose = {"weights": weights, "target": str(target), "data": store.card.name}
    if isinstance(report, Measured):
        primary = report.primary
        entry: Look | NetLook = NetLook(**whose, primary=primary.name, value=primary.value, count=report.count)
    else:
        entry = Look(**whose, correct=report.correct, count=report.count)
    try:
        models = record(store.path.parent, images.store_digest, look=entry)
    except (UsageError, WorkFailed) as error:
        return None, (f"this look at test was not recorded: {error.headline}",)
    return Looks(models=models, interval=interval_of_all(report, models)), ()


def interval_of_all(report: EvalReport | Measured, models: int) -> tuple[float, float] | None:
    """Return the interval that holds for so many models together (Bonferroni); None if the number has none.

    The interval of images drawn again is stretched as that of a normal distribution would be, and stays in 0..1.
    """
    if isinstance(report, EvalReport):
        return wilson(report.correct, report.count, models=models)
    value, own = report.primary.value, report.primary.interval
    if own is None:
        return None
    stretch = NormalDist().inv_cdf(1 - 0.025 / models) / Z95 if models > 1 else 1.0
    return max(0.0, value - stretch * (value - own[0])), min(1.0, value + stretch * (own[1] - value))


def require_split(split: str) -> None:
    """Raise `UsageError` unless `split` is one that training did not see."""
    if split not in SPLITS:
        raise UsageError(f"{split!r} is no split to measure", where=Setting("split"), hint="test or val")


def trained_on(card: WeightsCard, path: Path, *, verb: str = "eval") -> str:
    """Return the dataset that the weights name. Raises `DataError` when they name none; `verb` is for its hint."""
    name = card.trained_on.get("name", "")
    if not name:
        raise DataError(
            "the weights do not name the dataset that they were trained on",
            where=str(path),
            hint=Call(verb, (path,), {"data": "NAME"}),
        )
    return name


def class_order(data: Sequence[str], model: Sequence[str], *, name: str, path: Path | None = None) -> Labels:
    """Return, for each label of the data, the index of the model's output with that name: int64 (K,).

    `path` is the file of the model, for a hint.

    Raises:
        DataError: the sets of names differ; the error lists the difference.
    """
    missing = [item for item in model if item not in set(data)]
    extra = [item for item in data if item not in set(model)]
    if missing or extra:
        problems = [f"only the network has: {listed(missing)}"] if missing else []
        problems += [f"only the dataset has: {listed(extra)}"] if extra else []
        raise DataError(
            f"the classes of the network and of '{name}' differ",
            problems=problems,
            hint=Call("finetune", ("TARGET" if path is None or path.suffix == ".onnx" else path,), {"data": name}),
        )
    index = {item: number for number, item in enumerate(model)}
    return np.array([index[item] for item in data], dtype=np.int64)


def relabelled_batches(
    images: ImageSet, card: WeightsCard, *, order: Labels, as_stored: bool = False
) -> Iterator[tuple[Images, Labels]]:
    """Yield prepared images (B, S, S, C), or stored ones, and labels (B,) in the order of the model's outputs."""
    for pixels, labels in eval_batches(images, card.image, as_stored=as_stored):
        yield pixels, order[labels]


def stored(data: str, settings: Settings) -> tuple[str, list[str]]:
    """Return the store's name for `data`, and what to tell the user. A path is added to the store first.

    Raises as `tasks.datasets.ensure`.
    """
    work = datasets.ensure(data, settings)
    told: list[str] = []
    while True:
        try:
            fact = next(work)
        except StopIteration as end:
            return str(end.value), told
        if isinstance(fact, Notice):
            told.append(fact.text)


def open_data(
    data: str | PathLike[str] | None, card: WeightsCard, *, path: Path, settings: Settings, verb: str = "eval"
) -> tuple[Store, list[str]]:
    """Return the dataset `data`, by default that of the training, and what to tell the user. Gets it on first use.

    Args:
        path: the file with the weights; it and `verb` are for hints.

    Raises as `trained_on`, `stored` and `open_store`.
    """
    name = fspath(data) if data else trained_on(card, path, verb=verb)
    name, told = stored(name, settings) if data or _is_to_get(name, settings) else (name, [])
    return open_store(settings.data_dir, name), told


def open_part(store: Store, card: WeightsCard, *, split: Split) -> ImageSet:
    """Return the images of a split to measure a network on. `split_notices` says if they are not those of its training.

    Raises `DataError` as `open_eval_set`, but not for the network's own dataset that has changed.
    """
    is_own = card.trained_on.get("name") == store.card.name
    val_split = card.split if is_own or split != "train" else None
    return open_eval_set(store, split, val_split=val_split, anew=is_own)


def store_first(
    target: str | None, settings: Settings, *, data: str | None
) -> Generator[Notice | Progress, None, str | None]:
    """Store the data that a target will be measured on, if it is not stored yet. Return it; None is the target's own.

    The data is `data`, or what `dataset_to_get` returns. Nothing is fetched for a network that cannot be used: this
    raises what the target raises.
    """
    data = data or dataset_to_get(target, settings)
    if data is None or datasets.is_stored(data, settings):  # the task says what there is to say of stored data
        return data
    resolved = targets.resolve(target, settings)
    if resolved.kind != "onnx":
        require_plugins(resolved.header.card, resolved.path)
    return (yield from datasets.ensure(data, settings))


def dataset_to_get(target: str | None, settings: Settings) -> str | None:
    """Return the dataset that a target was trained on if it can be fetched and is not in the store yet, else None."""
    with contextlib.suppress(ResnetctlError):  # the task names the mistake
        name = _trained_on(targets.resolve(target, settings, needs_network=False))
        return name if _is_to_get(name, settings) else None
    return None


def _trained_on(target: targets.Target) -> str:
    """Return the name of the dataset of the training; of a run from its config, so that its weights are read once."""
    if target.run is not None:
        return str(from_file(target.run.config).values.get("data", ""))
    card = target.exported.weights if target.kind == "onnx" else target.header.card
    return str(card.trained_on.get("name", ""))


def _is_to_get(name: str, settings: Settings) -> bool:
    return name in registry.names("dataset") and name not in store_names(settings.data_dir)


def split_notices(store: Store, card: WeightsCard, *, requested: Split, used: Split) -> Iterator[str]:
    """Yield what a reader must know about the measured split."""
    if requested != used:
        yield f"dataset '{store.card.name}' has no {requested} split: measured {used}"
    same_name = card.trained_on.get("name") == store.card.name
    is_users = not same_name and store.card.name not in registry.names("dataset")
    if is_users and used == "test" and "train" in store.card.splits:
        count, total = store.card.splits["test"], sum(store.card.splits.values())
        yield f"measured the test part of '{store.card.name}', {count:,} of {total:,} images"
    if used == "train" and same_name:
        yield "training saw these images, so the numbers say little about new ones"
    if used == "val" and same_name and val_key(card.metrics):
        yield "these weights were chosen on val, so their numbers on val are optimistic"
    yield from _changes(store, card, used=used) if same_name else ()


def _changes(store: Store, card: WeightsCard, *, used: Split) -> Iterator[str]:
    """Yield a sentence when the dataset is no longer that of the training."""
    digest, name = card.trained_on.get("digest"), store.card.name
    if digest in ("", None, store.card.digests.get("train")):
        return
    if used == "train":
        yield f"dataset '{name}' has changed since the weights were trained on it: they may not know all of this train"
    elif digest not in store.card.replaced:
        yield (
            f"dataset '{name}' has changed since the weights were trained on it: where it was split again, they may "
            f"have seen images of its {used}"
        )
    elif used == "test":
        yield f"dataset '{name}' was replaced since the weights were trained on it; its test has no image that they saw"
    elif used == "val":
        yield f"dataset '{name}' was replaced since the weights were trained on it: they have seen images of its val"


def unchecked(gates: Gates, report: EvalReport | Measured) -> Iterator[str]:
    """Yield a sentence that names the classes which the limit on every class could not check."""
    if names := gates.unchecked(report):
        yield f"not checked, because the split has no image of them: {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def image_names(images: ImageSet, store: Store) -> list[tuple[int, str]]:
    """Return row and file of each image of a set; the file is "" when the dataset was not made of files."""
    stored = images.split if images.split in store.card.splits else "train"
    rows = images.index.tolist()
    names = manifest_names(store.path, stored, rows=rows)
    return [(row, names.get(row, "")) for row in rows]


def require_images_file(path: Path, *, columns: Sequence[str]) -> None:
    """Raise `UsageError` before the work if `path` cannot be written, or is no file of images with these columns."""
    storage.require_writable(path.parent, hint=Setting("per_image", "FILE"))
    storage.require_own(path, ",".join(columns[:3]).encode(), hint=Setting("per_image", "OTHER"))


def write_images(
    outcome: Outcome, path: Path, *, rows: Iterable[tuple[object, ...]], columns: Sequence[str]
) -> Outcome:
    """Write a CSV file with a row for each image. An error waits, as that of `targets.write_outcome`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    try:
        storage.write(path, text.getvalue().encode("utf-8", "surrogateescape"))
    except (UsageError, WorkFailed) as error:
        error.message = f"the file of images was not written: {error.message}"
        return replace(outcome, unwritten=error)
    return replace(outcome, per_image=path)
