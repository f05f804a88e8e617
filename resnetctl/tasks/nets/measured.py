"""The measurement of `eval` for networks with a head: mAP in pixels of the pictures, mIoU at the size of the masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import Store
from resnetctl.engine.metrics import Labels
from resnetctl.errors import DataError, ResnetctlError, UsageError, WorkFailed
from resnetctl.hints import Call
from resnetctl.report.base import EVAL, Report
from resnetctl.spec import Boxes, Masks, Measured, Split
from resnetctl.tasks.held_out import class_order, split_notices
from resnetctl.tasks.nets.answers import Answering, Arrays, boxes_in_pictures, enlarged, places
from resnetctl.tasks.targets import Target

BATCH = 16  # images


@dataclass(frozen=True, kw_only=True)
class NetOutcome(Report):
    """The numbers of a network with a head on one split. Attributes as in `EvalOutcome`."""

    schema: ClassVar[str] = EVAL
    measured: Measured
    task: str
    target: Path
    data: str
    split: Split
    epoch: int | None = None
    notices: tuple[str, ...] = ()
    written: Path | None = None
    unwritten: ResnetctlError | None = None

    def require(self) -> None:
        """Raise `unwritten`. Call it after showing the numbers."""
        if self.unwritten is not None:
            raise self.unwritten

    def body(self) -> dict[str, Any]:
        """Return the numbers, then data, split and target."""
        primary = self.measured.primary
        return {
            "task": self.task,
            **self.measured.figures,
            "primary": primary.name,
            "interval": None if primary.interval is None else list(primary.interval),
            "count": self.measured.count,
            "per_class": [dict(row) for row in self.measured.per_class],
            "data": self.data,
            "split": self.split,
            "epoch": self.epoch,
            "target": str(self.target),
            "notices": list(self.notices),
            "unwritten": None if self.unwritten is None else self.unwritten.headline,
        }


def measure_net(
    net: Answering, store: Store, *, split: Split, target: Target, told: tuple[str, ...] = ()
) -> NetOutcome:
    """Measure a network on a split of a dataset, and write the report into its run.

    Raises:
        DataError: the dataset has another truth, other classes, or no such split.
    """
    card = net.card
    if store.card.truth != net.task.truth:
        raise DataError(
            f"the network answers with {net.task.truth}, and '{store.card.name}' has {store.card.truth}",
            where=str(store.path),
            hint=Call("data list"),
        )
    is_own = card.trained_on.get("name") == store.card.name
    images = open_eval_set(store, split, val_split=card.split if is_own or split != "train" else None)
    order = class_order(store.card.classes, card.classes, name=store.card.name)
    meter = net.task.meter(card.classes)
    for prediction, truth in _compared(net, images, store, order=order):
        meter.add(prediction, truth)
    outcome = NetOutcome(
        measured=meter.report(),
        task=card.task,
        target=target.path,
        data=store.card.name,
        split=images.split,
        epoch=None if "epoch" not in card.metrics else int(card.metrics["epoch"]),
        notices=(*target.notices, *told, *split_notices(store, card, requested=split, used=images.split)),
    )
    return _written(outcome, target)


def _compared(
    net: Answering, images: ImageSet, store: Store, *, order: Labels
) -> Iterator[tuple[Arrays, Boxes | Masks]]:
    """Yield the prediction of each batch and its truth, in the same pixels."""
    import torch

    assert images.truth is not None, "the card says so"
    classes = torch.from_numpy(order)
    whole, side, start = images.truth.tensors(), images.truth.side, 0
    for pixels, _ in eval_batches(images, net.card.image, batch_size=BATCH):
        rows = images.index[start : start + len(pixels)]
        start += len(pixels)
        truth, prediction = whole.take(torch.from_numpy(rows)), net.answer(pixels)
        if isinstance(truth, Masks):
            known = torch.cat([classes, torch.full((256 - len(classes),), 255)]).to(torch.uint8)
            yield (enlarged(prediction[0], side),), Masks(masks=known[truth.masks.long()])
            continue
        where = places(images.truth.sizes[rows], store.card.image)
        found = boxes_in_pictures(prediction, where, scale=side / net.card.image.size)
        true = [place.back(own.numpy()) for place, (own, _) in zip(where, truth.split(), strict=True)]
        boxes = torch.from_numpy(np.concatenate(true))
        yield found, replace(truth, boxes=boxes, labels=classes[truth.labels])


def _written(outcome: NetOutcome, target: Target) -> NetOutcome:
    if target.run is None:
        return outcome
    name = f"{outcome.data}-{outcome.split}{'-onnx' if target.kind == 'onnx' else ''}"
    try:
        return replace(outcome, written=target.run.write_eval(name, outcome.to_json()))
    except (UsageError, WorkFailed) as error:
        error.message = f"the report was not written: {error.message}"
        return replace(outcome, unwritten=error)
