"""Cut a network: choose what to remove by what it matters and by measured time, and measure what is left."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from resnetctl import __version__
from resnetctl.compress import calibration
from resnetctl.compress.channels import narrower
from resnetctl.compress.depths import Depths, importance, kept_blocks, reestimate_norms, without_blocks
from resnetctl.compress.latency import speedups
from resnetctl.compress.speed_plan import LatencyTable, candidates, measure_table
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.store import Store
from resnetctl.deploy.onnx_session import OnnxModel, from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.engine.metrics import Images, measure
from resnetctl.engine.predictors import torch_predictor
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet
from resnetctl.spec import WeightsCard
from resnetctl.tasks.compress.order import Cut
from resnetctl.tasks.compress.report import Accuracy, CutFacts
from resnetctl.weights.file import Header, load_network, to_bytes

SLIGHT = 1.1  # the smallest speed-up that a hint names
IMAGES = 512  # of val for the importance, and of train for the norms


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A cut network: the bytes of its weights file, its card, and what was measured."""

    data: bytes
    card: WeightsCard
    facts: CutFacts


def make_smaller(header: Header, store: Store, *, cut: Cut) -> Smaller:
    """Return the network of a weights file after a cut. Raises `CheckFailed` when no cut gives the speed-up."""
    judge = Judge(header.card, store)
    work = _Work(load_network(header), judge)
    whole = header.card.arch.depths
    if cut.speedup is not None:
        shape, table = work.planned(cut.speedup)
    else:
        shape, table = Shape(depths=cut.keep_blocks or whole, channels=cut.channels), None
    made = work.timed(shape)
    card = cut_card(header.card, made.net)
    facts = CutFacts(
        before=whole,
        after=shape.depths,
        removed=work.removed(shape.depths),
        widths=made.widths,
        table=table,
        speedup={str(size): value for size, value in made.speedup.items()},
        params=(_params(work.model), _params(made.net)),
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
    """The images that networks of the same classes are chosen and measured by."""

    def __init__(self, card: WeightsCard, store: Store) -> None:
        self.card = card
        self.train, self._val = calibration.sets(store, card)
        self._order = calibration.class_order(store.card.classes, card.classes, name=store.card.name)

    def seen(self) -> Images:
        """Return up to `IMAGES` images of train, balanced by class."""
        return _images(self.train, self.card)

    def unseen(self) -> Images:
        """Return up to `IMAGES` images of val, balanced by class."""
        return _images(self._val, self.card)

    def accuracy(self, model: ResNet) -> Accuracy:
        """Measure a network on val."""
        batches = ((images, self._order[labels]) for images, labels in eval_batches(self._val, self.card.image))
        predict = torch_predictor(model, self.card.image, device=torch.device("cpu"))
        return Accuracy.of(measure(predict, batches, classes=self.card.classes))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is left: the blocks of each stage, and the share of inner channels; None for all of them."""

    depths: Depths
    channels: float | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A cut network, its narrower layers, and how many times as fast as the whole one it is, by images a batch."""

    net: ResNet
    widths: dict[str, tuple[int, int]]
    speedup: dict[int, Spread]


class _Work:
    """A network and the measures that its smaller versions are made by."""

    def __init__(self, model: ResNet, judge: Judge) -> None:
        self.model = model
        self._made: dict[Shape, Made] = {}
        self._card = judge.card
        self._seen = judge.seen()
        self._scores = importance(model, judge.unseen(), spec=self._card.image)
        self._whole = self._exported(model)

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

    def timed(self, shape: Shape) -> Made:
        """Return the network of this shape, with norms that are measured again, and its speed. Made once."""
        if shape not in self._made:
            smaller, widths = self._smaller(shape)
            reestimate_norms(smaller, self._seen, spec=self._card.image)
            measured = speedups(self._whole, {"smaller": self._exported(smaller)}, images=self._seen)["smaller"]
            self._made[shape] = Made(net=smaller, widths=widths, speedup=measured)
        return self._made[shape]

    def removed(self, keep: Depths) -> dict[str, float]:
        """Return the importance of the blocks that are not kept."""
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
        card = dataclasses.replace(self._card, arch=model.arch, channels=model.channels)
        return from_bytes(to_onnx(model, card, weights_sha256="", gate={}), "the exported model")


def _images(images: ImageSet, card: WeightsCard) -> Images:
    return calibration.choose(images, card.image, count=min(IMAGES, len(images)))


def _params(model: ResNet) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
