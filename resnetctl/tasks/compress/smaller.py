"""Cut a network: choose what to remove by what it matters and by measured time, and measure what is left."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from resnetctl import __version__
from resnetctl.compress import calibration
from resnetctl.compress.channels import narrower
from resnetctl.compress.cost import params
from resnetctl.compress.depths import Depths, importance, kept_blocks, reestimate_norms, without_blocks
from resnetctl.compress.latency import speedups
from resnetctl.compress.speed_plan import LatencyTable, candidates, even_depths, measure_table
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.store import Store
from resnetctl.deploy.int8 import calibrate
from resnetctl.deploy.onnx_session import OnnxModel, from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.engine.metrics import EvalReport, Images, Labels, Logits, Predictor, measure
from resnetctl.engine.predictors import torch_predictor
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, DataError, UsageError
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet
from resnetctl.spec import WeightsCard
from resnetctl.system.machine import has_vnni
from resnetctl.tasks.compress.order import Cut
from resnetctl.tasks.compress.report import Accuracy, CutFacts
from resnetctl.weights.file import Header, load_network, to_bytes

SLIGHT = 1.1  # the smallest speed-up that a hint names
IMAGES = 512  # of val for the importance, and of train for the norms
CALIBRATE = 256  # images of train for the ranges of int8
HOPE = 1.1  # a shape is made if it is predicted to be up to a tenth too slow


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A cut network: the bytes of its weights file, its card, and what was measured."""

    data: bytes
    card: WeightsCard
    facts: CutFacts


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What the ONNX file must keep, whose speed and size follow from its shape alone.

    Attributes:
        target_ms: the largest time of a single image; None: any.
        size: the largest file in bytes; 0: any.
        int8: whether the file is quantised.
    """

    target_ms: float | None = None
    size: int = 0
    int8: bool = False


def make_smaller(header: Header, store: Store, *, cut: Cut, limit: Limit | None = None) -> Smaller:
    """Return the network of a weights file after a cut. Raises `CheckFailed` when no cut keeps the limits."""
    judge = Judge(header.card, store)
    work = _Work(load_network(header), judge)
    whole, is_int8, table = header.card.arch.depths, limit is not None and limit.int8, None
    if cut.keep_blocks is not None or cut.channels is not None:
        shape = Shape(depths=cut.keep_blocks or whole, channels=cut.channels)
    elif limit is not None:
        shape, table = work.within(limit, speedup=cut.speedup)
    else:
        shape, table = work.planned(cut.speedup or 0)
    made = work.timed(shape, int8=is_int8)
    card = cut_card(header.card, made.net)
    facts = CutFacts(
        before=whole,
        after=shape.depths,
        removed=work.removed(shape.depths),
        widths=made.widths,
        table=table,
        speedup={str(size): value for size, value in made.speedup.items()},
        params=(params(work.model), params(made.net)),
        accuracy=(judge.accuracy(work.model), judge.accuracy(made.net)),
    )
    return Smaller(data=to_bytes(made.net.state_dict(), card), card=card, facts=facts)


def cut_card(card: WeightsCard, smaller: ResNet) -> WeightsCard:
    """Return the card of the cut network, without what was measured on the whole one."""
    return dataclasses.replace(
        card,
        arch=smaller.arch,
        channels=smaller.channels,
        metrics={},
        calibration=None,
        teacher={},
        config_sha256="",
        version=__version__,
    )


class Judge:
    """The images that a network is chosen and measured by, as its card prepares them.

    Args:
        val_of: the card that says which images are val; None: that of the network.

    Raises:
        DataError: the network has one class, or the dataset has other classes or too few images.
    """

    def __init__(self, card: WeightsCard, store: Store, *, val_of: WeightsCard | None = None) -> None:
        if len(card.classes) < 2:
            raise DataError("the network has one class, so its accuracy cannot show what a smaller one costs")
        self.card = card
        self.train, self._val = calibration.sets(store, val_of or card)
        self._order = calibration.class_order(store.card.classes, card.classes, name=store.card.name)

    def seen(self) -> Images:
        """Return up to `IMAGES` images of train, balanced by class."""
        return _images(self.train, self.card)

    def batches(self) -> list[tuple[Images, Labels]]:
        """Return val, with labels in the order of the outputs."""
        batches = eval_batches(self._val, self.card.image)
        return [(images, self._order[labels]) for images, labels in batches]

    def measured(self, predict: Predictor, images: ImageSet | None = None) -> EvalReport:
        """Measure a predictor on val, or on another split of the dataset."""
        batches = eval_batches(self._val if images is None else images, self.card.image)
        return measure(
            predict, ((pixels, self._order[labels]) for pixels, labels in batches), classes=self.card.classes
        )

    def answers(self, predict: Predictor) -> tuple[Accuracy, NDArray[np.int64]]:
        """Measure a predictor on val. Return its accuracy, and 1 for each image (N,) that it gets right."""
        answers: list[NDArray[np.int64]] = []

        def watched(images: Images) -> Logits:
            logits = predict(images)
            answers.append(logits.argmax(axis=1))
            return logits

        report = self.measured(watched)
        labels = self._order[self._val.labels[self._val.index]]
        return Accuracy.of(report), (np.concatenate(answers) == labels).astype(np.int64)

    def unseen(self) -> Images:
        """Return up to `IMAGES` images of val, balanced by class."""
        return _images(self._val, self.card)

    def accuracy(self, model: ResNet) -> Accuracy:
        """Measure a network on val."""
        return Accuracy.of(self.measured(torch_predictor(model, self.card.image, device=torch.device("cpu"))))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is left: the blocks of each stage, and the share of inner channels; None for all of them."""

    depths: Depths
    channels: float | None = None

    def __str__(self) -> str:
        """Return the shape for an error."""
        share = "" if self.channels is None else f" with {self.channels:.0%} of the channels"
        return f"{','.join(map(str, self.depths))} blocks{share}"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A cut network, `(before, after)` of its narrower layers, the bytes of its file, and its speed.

    `speedup` is how many times as fast as the whole network it is, by images a batch.
    """

    net: ResNet
    widths: dict[str, tuple[int, int]]
    speedup: dict[int, Spread]
    bytes: int = 0


class _Work:
    """A network and the measures that its smaller versions are made by."""

    def __init__(self, model: ResNet, judge: Judge) -> None:
        self.model = model
        self._made: dict[tuple[Shape, bool], Made] = {}
        self._card = judge.card
        self._seen = judge.seen()
        self._unseen = judge.unseen()
        self._whole = self._exported(model)

    @cached_property
    def _scores(self) -> dict[str, float]:
        """The importance of each block: a pass over the images for each, so only if blocks go."""
        return importance(self.model, self._unseen, spec=self._card.image)

    def planned(self, speedup: float) -> tuple[Shape, LatencyTable]:
        """Return the most blocks that reach the speed-up for single images, measured, and the table of latencies."""
        depths = self.model.arch.depths
        table = measure_table(depths, self._seen, export=self._variant)
        reached = {}
        for keep in candidates(table, depths, speedup=speedup):
            reached[keep] = self.timed(Shape(depths=keep)).speedup[1].median
            if reached[keep] >= speedup:
                return Shape(depths=keep), table
        best = max(reached, key=lambda keep: reached[keep])
        raise CheckFailed(
            f"no number of blocks makes the network {speedup:g} times as fast on this machine; no file was written",
            problems=[f"{','.join(map(str, best))} blocks: {reached[best]:.2f} times as fast"],
            hint=Setting("speedup", int(10 * reached[best]) / 10) if reached[best] >= SLIGHT else (),
        )

    def within(self, limit: Limit, *, speedup: float | None) -> tuple[Shape, LatencyTable | None]:
        """Return the shape with the most blocks that keeps the limits, measured, and the table of latencies.

        Shapes that the table predicts to be too slow are not made. After the fewest blocks, channels go, too.
        """
        depths, table, needed = self.model.arch.depths, None, speedup or 0.0
        if speedup is not None or limit.target_ms is not None:
            table = measure_table(depths, self._seen, export=self._variant)
            needed = table.whole / limit.target_ms if limit.target_ms is not None else needed
        gain, best = 1.0, ""
        for shape in (shapes := list(self._shapes(int8=limit.int8))):
            is_cut, predicted = shape.depths != depths, 1.0 if table is None else table.predicted(depths, shape.depths)
            is_hopeless = is_cut and shape.channels is None and gain * HOPE * predicted < needed
            if (is_hopeless or self._is_too_large(shape, limit)) and shape != shapes[-1]:
                continue  # the last one is measured all the same, for the error
            made = self.timed(shape, int8=limit.int8)
            gain = gain if is_cut else made.speedup[1].median
            if made.speedup[1].median >= needed and (not limit.size or made.bytes <= limit.size):
                return shape, table
            best = f"{shape}: {made.speedup[1].median:.2f} times as fast, {made.bytes:,} bytes"
        form = "int8" if limit.int8 else "float32"
        raise CheckFailed(f"no {form} file of this network keeps these limits", problems=[best] if best else ())

    def _shapes(self, *, int8: bool) -> Iterator[Shape]:
        """Yield shapes, the largest first. The whole network is one of them where int8 alone may be enough."""
        depths = self.model.arch.depths
        if int8:
            yield Shape(depths=depths)
        smaller = even_depths(depths)
        yield from (Shape(depths=keep) for keep in smaller)
        last = Shape(depths=smaller[-1] if smaller else depths, channels=0.5)
        with contextlib.suppress(UsageError):  # no channel can go
            self._smaller(last)
            yield last

    def _is_too_large(self, shape: Shape, limit: Limit) -> bool:
        """Return whether the weights alone take more bytes than the file may have."""
        return bool(limit.size) and params(self._smaller(shape)[0]) * (1 if limit.int8 else 4) > limit.size

    def timed(self, shape: Shape, *, int8: bool = False) -> Made:
        """Return the network of this shape, with norms that are measured again, and the speed of its file. Made once.

        Args:
            int8: whether the file is quantised: its speed does not depend on the weights.
        """
        if (shape, int8) not in self._made:
            smaller, widths = self._smaller(shape)
            if smaller is not self.model:
                reestimate_norms(smaller, self._seen, spec=self._card.image)
            model, size = self._opened(smaller, int8=int8)
            measured = speedups(self._whole, {"smaller": model}, images=self._seen)["smaller"]
            self._made[shape, int8] = Made(net=smaller, widths=widths, speedup=measured, bytes=size)
        return self._made[shape, int8]

    def removed(self, keep: Depths) -> dict[str, float]:
        """Return the importance of the blocks that are not kept."""
        if keep == self.model.arch.depths:
            return {}
        kept = kept_blocks(self.model.arch.depths, self._scores, keep=keep)
        stay = {f"layer{stage}.{place}" for stage, places in enumerate(kept, start=1) for place in places}
        return {name: score for name, score in self._scores.items() if name not in stay}

    def _smaller(self, shape: Shape) -> tuple[ResNet, dict[str, tuple[int, int]]]:
        net = self.model
        if shape.depths != net.arch.depths:
            kept = kept_blocks(net.arch.depths, self._scores, keep=shape.depths)
            net = without_blocks(net, kept, image=self._card.image)
        return (net, {}) if shape.channels is None else narrower(net, shape.channels, image=self._card.image)

    def _variant(self, keep: Depths) -> OnnxModel:
        return self._whole if keep == self.model.arch.depths else self._exported(self._smaller(Shape(depths=keep))[0])

    def _exported(self, model: ResNet) -> OnnxModel:
        return self._opened(model)[0]

    def _opened(self, model: ResNet, *, int8: bool = False) -> tuple[OnnxModel, int]:
        card = dataclasses.replace(self._card, arch=model.arch, channels=model.channels)
        return opened(model, card, calibrate_on=self._seen if int8 else None)


def opened(model: ResNet, card: WeightsCard, *, calibrate_on: Images | None = None) -> tuple[OnnxModel, int]:
    """Return the network as an ONNX file that is only for measuring, opened, and its bytes.

    Args:
        calibrate_on: images (N, S, S, C) for an int8 file; None for float32.
    """
    data = to_onnx(model, card, weights_sha256="", gate={})
    if calibrate_on is not None:
        data = calibrate(data, calibrate_on[:CALIBRATE], reduce_range=not has_vnni()).quantised()
    return from_bytes(data, "the exported model"), len(data)


def _images(images: ImageSet, card: WeightsCard) -> Images:
    return calibration.choose(images, card.image, count=min(IMAGES, len(images)))
