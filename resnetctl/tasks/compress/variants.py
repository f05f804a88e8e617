"""The smaller versions of one network: made, exported and timed, each at most once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from resnetctl.compress.channels import narrower
from resnetctl.compress.cost import params
from resnetctl.compress.depths import Depths, affordable, importance, kept_blocks, reestimate_norms, without_blocks
from resnetctl.compress.latency import SIZES, speedups
from resnetctl.compress.speed_plan import LatencyTable, measure_table
from resnetctl.deploy.int8 import calibrate
from resnetctl.deploy.onnx_session import OnnxModel, from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.engine.metrics import Images
from resnetctl.engine.stopwatch import Spread
from resnetctl.models.resnet import ResNet
from resnetctl.spec import WeightsCard
from resnetctl.system.machine import has_vnni
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.judge import Judge
from resnetctl.wording import counted

CALIBRATE = 256  # images of train for the ranges of int8


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
    """A cut network and its ONNX file.

    Attributes:
        widths: `(before, after)` of each layer that is narrower.
        file: the opened file.
        bytes: its size.
        speedup: how many times as fast as the whole network it is, by images a batch, as far as it was measured.
    """

    net: ResNet
    widths: dict[str, tuple[int, int]]
    file: OnnxModel
    bytes: int
    speedup: dict[int, Spread] = field(default_factory=dict)


class Variants:
    """A network and its smaller versions.

    Args:
        seconds: for the importance of the blocks, which then sees fewer images.
        whole: the file of the whole network, where it was made before.

    Attributes:
        notices: what the user should know about the measures that were taken so far.
    """

    def __init__(self, model: ResNet, judge: Judge, *, seconds: float = math.inf, whole: File | None = None) -> None:
        self.model = model
        self.notices: list[str] = []
        self._seconds = seconds
        self._nets: dict[Shape, tuple[ResNet, dict[str, tuple[int, int]]]] = {}
        self._files: dict[Shape, bytes] = {}
        self._made: dict[tuple[Shape, bool], Made] = {}
        self._card = judge.card
        self._seen = judge.seen()
        self._unseen = judge.unseen()
        if whole is not None:
            self._files[self.whole] = whole.data

    @property
    def whole(self) -> Shape:
        """The shape of the network itself."""
        return Shape(depths=self.model.arch.depths)

    @cached_property
    def scores(self) -> dict[str, float]:
        """The importance of each block: a pass over the images for each, so only if blocks go."""
        images = affordable(self.model, self._unseen, spec=self._card.image, seconds=self._seconds)
        if len(images) < len(self._unseen):
            some = counted(len(images), "image")
            self.notices.append(f"the budget allows {some} of val to choose the blocks by, not {len(self._unseen)}")
        return importance(self.model, images, spec=self._card.image)

    @cached_property
    def table(self) -> LatencyTable:
        """The time of the network and of a block of each stage."""
        return measure_table(self.whole.depths, self._seen, export=lambda keep: self._opened(Shape(depths=keep))[0])

    def params_of(self, shape: Shape) -> int:
        """Return the number of parameters; a network is built only if channels go, too."""
        if shape.channels is not None:
            return params(self.net(shape)[0])
        gone = self.removed(shape.depths)
        return params(self.model) - sum(params(self.model.get_submodule(name)) for name in gone)

    def gain(self, shape: Shape, *, int8: bool = False) -> float:
        """Return how many times as fast as the whole network this shape is, for single images. Measured once."""
        return self.timed(shape, int8=int8, sizes=(1,)).speedup[1].median

    def timed(self, shape: Shape, *, int8: bool = False, sizes: Sequence[int] = SIZES) -> Made:
        """Return the network of this shape, with the speed of its file for batches of these sizes.

        Args:
            int8: whether the file is quantised: its speed does not depend on the weights.
        """
        made = self.made(shape, int8=int8)
        if missing := [size for size in sizes if size not in made.speedup]:
            found = speedups(self.made(self.whole).file, {"smaller": made.file}, images=self._seen, sizes=missing)
            made.speedup.update(found["smaller"])
        return made

    def made(self, shape: Shape, *, int8: bool = False) -> Made:
        """Return the network of this shape and its file. Made once."""
        if (shape, int8) not in self._made:
            file, size = self._opened(shape, int8=int8)
            net, widths = self.net(shape)
            self._made[shape, int8] = Made(net=net, widths=widths, file=file, bytes=size)
        return self._made[shape, int8]

    def removed(self, keep: Depths) -> dict[str, float]:
        """Return the importance of the blocks that are not kept."""
        if keep == self.model.arch.depths:
            return {}
        kept = kept_blocks(self.model.arch.depths, self.scores, keep=keep)
        stay = {f"layer{stage}.{place}" for stage, places in enumerate(kept, start=1) for place in places}
        return {name: score for name, score in self.scores.items() if name not in stay}

    def net(self, shape: Shape) -> tuple[ResNet, dict[str, tuple[int, int]]]:
        """Return the network of this shape, with norms that are measured again, and its widths as in `Made`.

        Raises:
            UsageError: no channel can go.
        """
        if shape not in self._nets:
            self._nets[shape] = net, _ = self._cut(shape)
            if net is not self.model:
                reestimate_norms(net, self._seen, spec=self._card.image)
        return self._nets[shape]

    def _cut(self, shape: Shape) -> tuple[ResNet, dict[str, tuple[int, int]]]:
        net = self.model
        if shape.depths != net.arch.depths:
            kept = kept_blocks(net.arch.depths, self.scores, keep=shape.depths)
            net = without_blocks(net, kept, image=self._card.image)
        return (net, {}) if shape.channels is None else narrower(net, shape.channels, image=self._card.image)

    def _opened(self, shape: Shape, *, int8: bool = False) -> tuple[OnnxModel, int]:
        """Return the file of this shape, opened, and its bytes. Torch takes seconds to export, so that is done once."""
        if shape not in self._files:
            self._files[shape] = exported(self.net(shape)[0], self._card)
        return opened(self._files[shape], calibrate_on=self._seen if int8 else None)


def exported(net: ResNet, card: WeightsCard) -> bytes:
    """Return the ONNX file of a network that is only for measuring. `card` may be that of the whole network."""
    card = dataclasses.replace(card, arch=net.arch, channels=net.channels)
    return to_onnx(net, card, weights_sha256="", gate={})


def opened(data: bytes, *, calibrate_on: Images | None = None) -> tuple[OnnxModel, int]:
    """Return a float32 file, opened, and its bytes.

    Args:
        calibrate_on: images (N, S, S, C) for the ranges of an int8 file, which is opened in its place.
    """
    if calibrate_on is not None:
        data = calibrate(data, calibrate_on[:CALIBRATE], reduce_range=not has_vnni()).quantised()
    return from_bytes(data, "the exported model"), len(data)
