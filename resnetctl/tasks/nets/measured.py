"""The measurement of `eval` for networks with a head: mAP in pixels of the pictures, mIoU at the size of the masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import Store
from resnetctl.engine.metrics import Labels
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.report.outcomes import Measurement
from resnetctl.spec import Boxes, Masks, Measured, Split
from resnetctl.tasks.held_out import class_order, split_notices
from resnetctl.tasks.nets.answers import Answering, Arrays, boxes_in_pictures, enlarged, places
from resnetctl.tasks.targets import Target, write_outcome

BATCH = 16  # images


@dataclass(frozen=True, kw_only=True)
class NetOutcome(Measurement):
    """The numbers of a network with a head on one split."""

    measured: Measured
    task: str

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
    return write_outcome(outcome, target)


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
