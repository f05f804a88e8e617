"""`report` of a network with a head: its numbers, by class, and the pictures that it answers worst and best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnetctl.data.dense.drawing import draw_boxes, draw_mask
from resnetctl.data.splits import ImageSet, eval_inputs
from resnetctl.data.store import Store
from resnetctl.errors import UsageError
from resnetctl.fields import plain
from resnetctl.hints import Setting
from resnetctl.report.pictures import Gallery, thumbnail
from resnetctl.spec import Boxes, Masks, Measured, Split
from resnetctl.spec.dense import SHOWN_SCORE
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import Looks, class_order, image_names, look, open_data, split_notices
from resnetctl.tasks.nets.answers import Answering, enlarged, open_net
from resnetctl.tasks.nets.measured import measure_images, open_images, reordered, worst_first
from resnetctl.tasks.report.document import PageReport, ReportOptions
from resnetctl.tasks.report.provenance import epochs, provenance
from resnetctl.tasks.targets import Target

SHOWN = 4  # pictures of the worst, and of the best
SIDE = 240  # pixels of a picture on the page
OF_CLASSIFIERS = ("against", "ood", "corruption", "cifar_c", "calibrate")  # options
LEFT_OUT = (
    "left out, because they are for classifiers: calibration, prediction sets, abstaining, corrupted images, suspect "
    "labels, duplicates and maps"
)


@dataclass(frozen=True, kw_only=True)
class NetReport(PageReport):
    """What a network with a head is worth on one split.

    Attributes:
        target: the measured file.
        weights: digest of its weights, preprocessing and classes.
        data: the name of the dataset.
        split: the measured split: val if the dataset has no test.
        task: what the network answers.
        measured: what the task's meter found.
        looks: how many models this test split has judged; None for val.
        worst, best: file and numbers of the images with the lowest, and with the highest, first number.
        notices: sentences for the user.
    """

    target: Path
    weights: str
    data: str
    split: Split
    task: str
    measured: Measured
    looks: Looks | None = None
    worst: tuple[dict[str, Any], ...] = ()
    best: tuple[dict[str, Any], ...] = ()
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the document without its schema."""
        found = self.measured
        return {
            "task": self.task,
            "target": str(self.target),
            "weights": self.weights,
            "data": self.data,
            "split": self.split,
            "count": found.count,
            **found.figures,
            "primary": found.primary.name,
            "interval": plain(found.primary.interval),
            "looks": None if self.looks is None else self.looks.to_json(),
            "unit": found.unit,
            "per_class": plain(list(found.per_class)),
            "curves": plain(list(found.curves)),
            "worst": list(self.worst),
            "best": list(self.best),
            "notices": list(self.notices),
        }


def net_report(target: Target, settings: Settings, *, asked: ReportOptions) -> NetReport:
    """Judge a network with a head on a split, and draw the pictures that it answers worst and best.

    Raises:
        UsageError: an option is for classifiers, or this machine has no such device.
        InputError: data are missing, have another truth, or their classes differ.
    """
    for name in OF_CLASSIFIERS:
        if asked.get(name):
            raise UsageError("this part of a report is for classifiers", where=Setting(name))
    net = open_net(target, settings)
    card, weights = net.card, net.digest
    data, requested = asked.get("data"), asked.get("split", "test")
    store, told = open_data(data, card, path=target.path, settings=settings, verb="report")
    images = open_images(net, store, split=requested)
    found = measure_images(net, images, store=store)
    looks, said = look(store, images, weights=weights, target=target.path, report=found)
    worst, best = _extremes(found)
    return NetReport(
        target=target.path,
        weights=weights,
        data=store.card.name,
        split=images.split,
        task=card.task,
        measured=found,
        looks=looks,
        worst=_named(worst, found, images=images, store=store),
        best=_named(best, found, images=images, store=store),
        notices=(
            *target.notices,
            *told,
            *split_notices(store, card, requested=requested, used=images.split),
            *said,
            LEFT_OUT,
        ),
        epochs=epochs(target.run),
        provenance=provenance(card, target.path, store=store, images=images, weights=weights),
        gallery=Gallery(scenes=tuple(_scenes(net, images, store, places=[*worst, *best]))),
    )


def _extremes(found: Measured) -> tuple[list[int], list[int]]:
    """Return the places of the worst and of the best images; no image is in both."""
    ranked = [place for place in worst_first(found) if next(iter(found.per_image[place].values())) is not None]
    worst = ranked[: min(SHOWN, -(-len(ranked) // 2))]
    return worst, ranked[len(worst) :][::-1][:SHOWN]


def _named(places: Sequence[int], found: Measured, *, images: ImageSet, store: Store) -> tuple[dict[str, Any], ...]:
    names = image_names(replace(images, index=images.index[list(places)]), store) if places else []
    return tuple(
        {"file": file or f"{images.split} {row}", **found.per_image[place]}
        for (row, file), place in zip(names, places, strict=True)
    )


def _scenes(net: Answering, images: ImageSet, store: Store, *, places: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield two pictures of each image: with its truth, and with the network's answer."""
    import torch

    if not places or images.truth is None or net.form not in ("boxes", "masks"):  # the others cannot be drawn
        return
    few = replace(images, index=images.index[list(places)])
    order = torch.from_numpy(class_order(store.card.classes, net.card.classes, name=store.card.name))
    truth, side = reordered(images.truth.tensors().take(torch.from_numpy(few.index)), order), images.truth.side
    batches = [net.answer(*inputs) for inputs in eval_inputs(few, net.card.image, vector=net.card.vector)]
    answers = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    for place, row in enumerate(few.index.tolist()):
        picture = Image.fromarray(
            np.squeeze(images.images[row], -1) if images.images.shape[3] == 1 else images.images[row]
        )
        own = [part[place] for part in answers]
        if isinstance(truth, Boxes):
            true, classes = truth.split()[place]
            boxes, scores, labels = own
            shown = (labels >= 0) & (scores >= SHOWN_SCORE)
            drawn = (
                draw_boxes(picture, true.numpy(), labels=classes.numpy()),
                draw_boxes(picture, boxes[shown] * (side / net.card.image.size), labels=labels[shown]),
            )
        else:
            assert isinstance(truth, Masks), "nothing else is drawn"
            answer = enlarged(own[0][None], side)[0].astype(np.uint8)
            drawn = draw_mask(picture, truth.masks[place].numpy()), draw_mask(picture, answer)
        yield thumbnail(np.asarray(drawn[0]), side=SIDE), thumbnail(np.asarray(drawn[1]), side=SIDE)
