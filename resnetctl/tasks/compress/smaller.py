"""Cut a network: choose what to remove by what it matters and by measured time, and measure what is left."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from resnetctl import __version__
from resnetctl.compress import calibration
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
    keep, table = (cut.keep_blocks, None) if cut.keep_blocks is not None else work.planned(cut.speedup or 0)
    smaller, measured = work.made[keep] if keep in work.made else work.timed(keep)
    card = cut_card(header.card, smaller)
    facts = CutFacts(
        before=header.card.arch.depths,
        after=keep,
        removed=work.removed(keep),
        table=table,
        speedup={str(size): value for size, value in measured.items()},
        params=(_params(work.model), _params(smaller)),
        accuracy=(judge.accuracy(work.model), judge.accuracy(smaller)),
    )
    return Smaller(data=to_bytes(smaller.state_dict(), card), card=card, facts=facts)


def cut_card(card: WeightsCard, smaller: ResNet) -> WeightsCard:
    """Return the card of the cut network, without what was measured on the whole one."""
    return dataclasses.replace(
        card, arch=smaller.arch, metrics={}, calibration=None, teacher={}, config_sha256="", version=__version__
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


class _Work:
    """A network and the measures that its smaller versions are made by. `made`: those timed so far."""

    def __init__(self, model: ResNet, judge: Judge) -> None:
        self.model = model
        self.made: dict[Depths, tuple[ResNet, dict[int, Spread]]] = {}
        self._card = judge.card
        self._seen = judge.seen()
        self._scores = importance(model, judge.unseen(), spec=self._card.image)
        self._whole = self._exported(model)

    def planned(self, speedup: float) -> tuple[Depths, LatencyTable]:
        """Return the most blocks that reach the speed-up for single images, measured, and the table of latencies."""
        depths = self.model.arch.depths
        table = measure_table(depths, self._seen, export=self._variant)
        reached = {}
        for keep in candidates(table, depths, speedup=speedup):
            reached[keep] = self.timed(keep)[1][1].median
            if reached[keep] >= speedup:
                return keep, table
        best = max(reached, key=lambda keep: reached[keep])
        raise CheckFailed(
            f"no number of blocks makes the network {speedup:g} times as fast on this machine; no file was written",
            problems=[f"{','.join(map(str, best))} blocks: {reached[best]:.2f} times as fast"],
            hint=Setting("speedup", int(10 * reached[best]) / 10) if reached[best] >= SLIGHT else (),
        )

    def timed(self, keep: Depths) -> tuple[ResNet, dict[int, Spread]]:
        """Return the network that keeps these blocks, and how many times as fast it is, by images a batch."""
        smaller = self._smaller(keep)
        reestimate_norms(smaller, self._seen, spec=self._card.image)
        measured = speedups(self._whole, {"smaller": self._exported(smaller)}, images=self._seen)["smaller"]
        self.made[keep] = smaller, measured
        return self.made[keep]

    def removed(self, keep: Depths) -> dict[str, float]:
        """Return the importance of the blocks that are not kept."""
        kept = kept_blocks(self.model.arch.depths, self._scores, keep=keep)
        stay = {f"layer{stage}.{place}" for stage, places in enumerate(kept, start=1) for place in places}
        return {name: score for name, score in self._scores.items() if name not in stay}

    def _smaller(self, keep: Depths) -> ResNet:
        kept = kept_blocks(self.model.arch.depths, self._scores, keep=keep)
        return without_blocks(self.model, kept, image=self._card.image)

    def _variant(self, keep: Depths) -> OnnxModel:
        return self._whole if keep == self.model.arch.depths else self._exported(self._smaller(keep))

    def _exported(self, model: ResNet) -> OnnxModel:
        card = dataclasses.replace(self._card, arch=model.arch)
        return from_bytes(to_onnx(model, card, weights_sha256="", gate={}), "the exported model")


def _images(images: ImageSet, card: WeightsCard) -> Images:
    return calibration.choose(images, card.image, count=min(IMAGES, len(images)))


def _params(model: ResNet) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
