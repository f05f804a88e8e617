"""The measurement of `eval` for networks with a head: mAP in pixels of the pictures, mIoU at the size of the masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

import numpy as np

from resnetctl.data.splits import ImageSet, eval_inputs, eval_truth, split_digest
from resnetctl.data.store import Store
from resnetctl.engine.meters.gates import Gates
from resnetctl.engine.meters.run import meter_of
from resnetctl.engine.metrics import Labels as Order
from resnetctl.errors import DataError, UsageError
from resnetctl.fields import plain
from resnetctl.hints import Call, Setting
from resnetctl.spec import IGNORE, Boxes, Labels, Masks, Measured, Split, Tags, Truth
from resnetctl.tasks.held_out import (
    Judged,
    class_order,
    image_names,
    look,
    open_part,
    split_notices,
    unchecked,
    write_images,
)
from resnetctl.tasks.nets.answers import Answering, Arrays, boxes_in_pictures, enlarged, places
from resnetctl.tasks.targets import Target, write_outcome

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 16  # images


class Asked(TypedDict, total=False):
    """What else `eval` is asked for: limits, a CSV file of the images, and a look at test by these weights."""

    gates: Gates
    per_image: Path | None
    weights: str


@dataclass(frozen=True, kw_only=True)
class NetOutcome(Judged):
    """The numbers of a network with a head on one split."""

    limits: ClassVar[tuple[str, ...]] = ("min_primary", "min_per_class", "min_lower")
    FIGURES = ("measured",)
    measured: Measured
    task: str

    @property
    def numbers(self) -> Measured:
        """What the task's meter found."""
        return self.measured

    def body(self) -> dict[str, Any]:
        """Return the numbers, then data, split and target."""
        primary = self.measured.primary
        return {
            "task": self.task,
            **self.measured.figures,
            "primary": primary.name,
            "interval": None if primary.interval is None else list(primary.interval),
            "count": self.measured.count,
            "per_class": plain(list(self.measured.per_class)),
            **self.rest(),
        }


def measure_net(
    net: Answering,
    store: Store,
    *,
    split: Split,
    target: Target,
    told: tuple[str, ...] = (),
    **asked: Unpack[Asked],
) -> NetOutcome:
    """Measure a network on a split of a dataset, and write the report into its run.

    Raises:
        DataError: the dataset has another truth, other classes, or no such split.
        UsageError: a limit, or the file of images, is for numbers that this task does not have.
    """
    gates, path, card = asked.get("gates", Gates()), asked.get("per_image"), net.card
    _require_limits(gates)
    images = open_images(net, store, split=split)
    found = measure_images(net, images, store=store)
    gates.require_known(found)
    if path is not None and not found.per_image:
        raise UsageError(f"task '{card.task}' has no numbers of single images", where=Setting("per_image"))
    weights = asked.get("weights")
    looks, said = (
        (None, ()) if weights is None else look(store, images, weights=weights, target=target.path, report=found)
    )
    on_split = split_notices(store, card, requested=split, used=images.split)
    outcome = NetOutcome(
        measured=found,
        gates=gates,
        looks=looks,
        images=split_digest(images),
        task=card.task,
        target=target.path,
        data=store.card.name,
        split=images.split,
        epoch=None if "epoch" not in card.metrics else int(card.metrics["epoch"]),
        notices=(*target.notices, *told, *on_split, *unchecked(gates, found), *said),
    )
    outcome = write_outcome(outcome, target)
    if path is None:
        return outcome
    columns = ("split", "row", "file", *found.per_image[0])
    return write_images(outcome, path, rows=_image_rows(found, images, store), columns=columns)


def _require_limits(gates: Gates) -> None:
    """Raise `UsageError` for a limit that only a classifier has, before any work."""
    for name, value in plain(gates).items():
        if value is not None and name not in NetOutcome.limits:
            raise UsageError(
                "this network is no classifier, so it has no such number",
                where=Setting(name),
                hint=Setting("min_primary", value),
            )


def _image_rows(found: Measured, images: ImageSet, store: Store) -> Iterator[tuple[object, ...]]:
    """Yield split, row, file and numbers of each image, the worst first; images without a number come last."""
    names = image_names(images, store)
    for place in worst_first(found):
        numbers = found.per_image[place].values()
        yield images.split, *names[place], *("" if value is None else f"{value:.6g}" for value in numbers)


def worst_first(found: Measured) -> list[int]:
    """Return the places of the images by their first number, the lowest first; without a number they come last."""
    ranks = [next(iter(numbers.values())) for numbers in found.per_image]
    return sorted(range(len(ranks)), key=lambda place: (ranks[place] is None, ranks[place] or 0.0))


def open_images(net: Answering, store: Store, *, split: Split) -> ImageSet:
    """Return the images of a split, with the truth that the network learned from. Raises as `measure_net`."""
    if store.card.truth != net.task.truth:
        raise DataError(
            f"the network answers with {net.task.truth}, and '{store.card.name}' has {store.card.truth}",
            where=str(store.path),
            hint=Call("data list"),
        )
    return open_part(store, net.card, split=split)


def measure_images(net: Answering, images: ImageSet, *, store: Store) -> Measured:
    """Return what the task's meter finds. Raises `DataError` when the classes differ."""
    order = class_order(store.card.classes, net.card.classes, name=store.card.name)
    meter = meter_of(net.task, net.card)
    for prediction, truth in _compared(net, images, store, order=order):
        meter.add(prediction, truth)
    return meter.report()


def _compared(net: Answering, images: ImageSet, store: Store, *, order: Order) -> Iterator[tuple[Arrays, Truth]]:
    """Yield the prediction of each batch and its truth, in the same pixels.

    These are the pixels of the pictures for boxes, of the store for masks, and of the network for other outputs.
    """
    import torch

    classes = torch.from_numpy(order)
    batches = eval_inputs(images, net.card.image, vector=net.card.vector, batch_size=BATCH)
    if net.form not in ("boxes", "masks"):
        truths = eval_truth(images, net.card.image, batch_size=BATCH)
        for inputs, truth in zip(batches, truths, strict=True):
            yield net.answer(*inputs), reordered(truth, classes)
        return
    assert images.truth is not None, "the card says so"
    whole, side, start = images.truth.tensors(), images.truth.side, 0
    for inputs in batches:
        rows = images.index[start : start + len(inputs[0])]
        start += len(rows)
        truth, prediction = reordered(whole.take(torch.from_numpy(rows)), classes), net.answer(*inputs)
        if isinstance(truth, Boxes):
            where = places(images.truth.sizes[rows], store.card.image)
            boxes = [place.back(own.numpy()) for place, (own, _) in zip(where, truth.split(), strict=True)]
            truth = replace(truth, boxes=torch.from_numpy(np.concatenate(boxes)))
            yield boxes_in_pictures(prediction, where, scale=side / net.card.image.size), truth
        else:
            yield (enlarged(prediction[0], side),), truth


def reordered(truth: Truth, order: Tensor) -> Truth:
    """Return the truth with class i of the data as class `order[i]`."""
    import torch

    if isinstance(truth, Boxes | Labels):
        return replace(truth, labels=order[truth.labels])
    if isinstance(truth, Masks):
        table = torch.full((256,), IGNORE, dtype=torch.uint8)
        table[: len(order)] = order.to(torch.uint8)
        return Masks(masks=table[truth.masks.long()])
    moved = truth.tags.clone()
    moved[:, order] = truth.tags
    return Tags(tags=moved)
