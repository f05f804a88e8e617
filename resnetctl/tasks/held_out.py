"""What `eval` and `report` share: the images of a split with labels in the order of the model's outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnetctl import registry
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.store import Store
from resnetctl.engine.metrics import EvalReport, Images, Labels, wilson
from resnetctl.errors import DataError, UsageError, WorkFailed
from resnetctl.facts import Notice
from resnetctl.hints import Call, Setting
from resnetctl.spec import Card, Split, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets
from resnetctl.trust.looks import Look, record

SHOWN = 10  # class names in an error
SPLITS = ("test", "val")  # the splits that training did not see


@dataclass(frozen=True, kw_only=True)
class Looks(Card):
    """How many models a test split has judged, and the 95 % interval of this one that holds for all of them."""

    models: int
    interval: tuple[float, float]


def look(
    store: Store, images: ImageSet, *, weights: str, target: Path, report: EvalReport
) -> tuple[Looks | None, tuple[str, ...]]:
    """Record that weights were judged on a test split. Return the looks, and notices.

    Other splits have no ledger: val is there to choose. A ledger that cannot be written becomes a notice.
    """
    if images.split != "test" or not images.store_digest:
        return None, ()
    entry = Look(weights=weights, target=str(target), data=store.card.name, correct=report.correct, count=report.count)
    try:
        models = record(store.path.parent, images.store_digest, look=entry)
    except (UsageError, WorkFailed) as error:
        return None, (f"this look at test was not recorded: {error.headline}",)
    return Looks(models=models, interval=wilson(report.correct, report.count, models=models)), ()


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


def class_order(data: Sequence[str], model: Sequence[str], *, name: str) -> Labels:
    """Return, for each label of the data, the index of the model's output with that name: int64 (K,).

    Raises:
        DataError: the sets of names differ; the error lists the difference.
    """
    missing = [item for item in model if item not in set(data)]
    extra = [item for item in data if item not in set(model)]
    if missing or extra:
        problems = [f"only the model has: {listed(missing)}"] if missing else []
        problems += [f"only the dataset has: {listed(extra)}"] if extra else []
        raise DataError(
            f"the classes of the model and of '{name}' differ",
            problems=problems,
            hint=Call("finetune", ("TARGET",), {"data": name}),
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
        yield "training saw these images, so the accuracy says little about new ones"
    if used == "val" and card.metrics.get("val_top1") is not None:
        yield "these weights were chosen on val, so their accuracy on val is optimistic"
    if same_name and card.trained_on.get("digest") not in ("", None, store.card.digests.get("train")):
        yield f"dataset '{store.card.name}' has changed since the weights were trained on it"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
