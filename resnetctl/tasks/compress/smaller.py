"""Cut a network: choose what to remove by importance and measured time, and measure the smaller network."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from resnetctl import __version__
from resnetctl.compress.channels import narrower
from resnetctl.compress.cost import params
from resnetctl.compress.depths import Depths, affordable, importance, kept_blocks, reestimate_norms, without_blocks
from resnetctl.compress.latency import SIZES, speedups
from resnetctl.compress.shape_search import largest
from resnetctl.compress.speed_plan import LatencyTable, even_depths, measure_table
from resnetctl.data.store import Store
from resnetctl.deploy.int8 import calibrate
from resnetctl.deploy.onnx_session import OnnxModel, from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.engine.metrics import Images
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet
from resnetctl.registry.folders import installed
from resnetctl.spec import WeightsCard
from resnetctl.system.machine import has_vnni
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.order import Cut
from resnetctl.tasks.compress.report import CutFacts
from resnetctl.weights.file import Header, load_network, to_bytes
from resnetctl.wording import counted

SLIGHT = 1.1  # the smallest speed-up that a hint names
CALIBRATE = 256  # images of train for the ranges of int8


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A cut network: the bytes of its weights file, its card, what was measured, and notices."""

    data: bytes
    card: WeightsCard
    facts: CutFacts
    notices: tuple[str, ...] = ()


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


def make_smaller(
    header: Header, store: Store, *, cut: Cut, limit: Limit | None = None, seconds: float = math.inf
) -> Smaller:
    """Return the network of a weights file after a cut. Raises `CheckFailed` when no cut keeps the limits.

    Args:
        seconds: for the importance of the blocks, which then sees fewer images.
    """
    judge = Judge(header.card, store)
    work = _Work(load_network(header), judge, seconds=seconds)
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
    return Smaller(data=to_bytes(made.net.state_dict(), card), card=card, facts=facts, notices=tuple(work.notices))


def cut_card(card: WeightsCard, smaller: ResNet) -> WeightsCard:
    """Return the card of the cut network, without what was measured on the whole one.

    It was built with the installed plugins, so it requires their versions.
    """
    required = card.plugins.required
    return dataclasses.replace(
        card,
        plugins=dataclasses.replace(card.plugins, required={**required, **installed(required)}),
        arch=smaller.arch,
        channels=smaller.channels,
        metrics={},
        calibration=None,
        teacher={},
        config_sha256="",
        version=__version__,
    )


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


class _Work:
    """A network and the measures that its smaller versions are made by."""

    def __init__(self, model: ResNet, judge: Judge, *, seconds: float) -> None:
        self.model = model
        self.notices = [*judge.notices]
        self._seconds = seconds
        self._made: dict[tuple[Shape, bool], Made] = {}
        self._card = judge.card
        self._seen = judge.seen()
        self._unseen = judge.unseen()
        self._whole = self._exported(model)

    @cached_property
    def _scores(self) -> dict[str, float]:
        """The importance of each block: a pass over the images for each, so only if blocks go."""
        images = affordable(self.model, self._unseen, spec=self._card.image, seconds=self._seconds)
        if len(images) < len(self._unseen):
            some = counted(len(images), "image")
            self.notices.append(f"the budget allows {some} of val to choose the blocks by, not {len(self._unseen)}")
        return importance(self.model, images, spec=self._card.image)

    def planned(self, speedup: float) -> tuple[Shape, LatencyTable]:
        """Return the most blocks that reach the speed-up for single images, measured, and the table of latencies."""
        table = self._table()
        reached: dict[Shape, float] = {}

        def measure(shape: Shape) -> float:
            reached[shape] = self.gain(shape)
            return reached[shape]

        shapes = [Shape(depths=keep) for keep in self._even]
        shape = largest(shapes, needed=speedup, predicted=self._predicted(table), measure=measure)
        if shape is not None:
            return shape, table
        best = max(reached, key=lambda shape: reached[shape])
        raise CheckFailed(
            f"no number of blocks makes the network {speedup:g} times as fast on this machine; no file was written",
            problems=[f"{best}: {reached[best]:.2f} times as fast"],
            hint=Setting("speedup", int(10 * reached[best]) / 10) if reached[best] >= SLIGHT else (),
        )

    def within(self, limit: Limit, *, speedup: float | None) -> tuple[Shape, LatencyTable | None]:
        """Return the shape with the most blocks that keeps the limits, measured, and the table of latencies.

        After the fewest blocks, channels go, too.
        """
        table, needed, best = None, speedup or 0.0, ""
        if speedup is not None or limit.target_ms is not None:
            table = self._table()
            needed = table.whole / limit.target_ms if limit.target_ms is not None else needed

        def measure(shape: Shape) -> float | None:
            nonlocal best
            gain, size = self.gain(shape, int8=limit.int8), self.made(shape, int8=limit.int8).bytes
            speed = f"{gain:.2f} times as fast"
            if table is not None and limit.target_ms is not None:
                speed = f"{table.whole / gain:.3g} ms an image, and {limit.target_ms:g} ms are wanted"
            best = f"{shape}: {speed}, {size:,} bytes"
            return gain if not limit.size or size <= limit.size else None

        shapes = list(self._shapes(int8=limit.int8))
        small = [shape for shape in shapes if not self._is_too_large(shape, limit)]
        shape = largest(small or shapes[-1:], needed=needed, predicted=self._predicted(table), measure=measure)
        if shape is not None:
            return shape, table
        form = "int8" if limit.int8 else "float32"
        raise CheckFailed(f"no {form} file of this network keeps these limits", problems=[best] if best else ())

    def _table(self) -> LatencyTable:
        return measure_table(self.model.arch.depths, self._seen, export=self._variant)

    def _predicted(self, table: LatencyTable | None) -> Callable[[Shape], float]:
        """Return the function that predicts the speed-up of a shape from its blocks; without a table it is 1."""
        depths = self.model.arch.depths
        return lambda shape: 1.0 if table is None else table.predicted(depths, shape.depths)

    @cached_property
    def _even(self) -> list[Depths]:
        depths = self.model.arch.depths
        return even_depths(depths, self._scores) if max(depths) > 1 else []

    def _shapes(self, *, int8: bool) -> Iterator[Shape]:
        """Yield shapes, the largest first. The whole network is one of them where int8 alone may be enough."""
        depths = self.model.arch.depths
        if int8:
            yield Shape(depths=depths)
        yield from (Shape(depths=keep) for keep in self._even)
        last = Shape(depths=self._even[-1] if self._even else depths, channels=0.5)
        with contextlib.suppress(UsageError):  # no channel can go
            self._smaller(last)
            yield last

    def _is_too_large(self, shape: Shape, limit: Limit) -> bool:
        """Return whether the weights alone take more bytes than the file may have."""
        return bool(limit.size) and self._count(shape) * (1 if limit.int8 else 4) > limit.size

    def _count(self, shape: Shape) -> int:
        """Return the number of parameters; a network is built only if channels go, too."""
        if shape.channels is not None:
            return params(self._smaller(shape)[0])
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
            found = speedups(self._whole, {"smaller": made.file}, images=self._seen, sizes=missing)
            made.speedup.update(found["smaller"])
        return made

    def made(self, shape: Shape, *, int8: bool = False) -> Made:
        """Return the network of this shape, with norms that are measured again, and its file. Made once."""
        if (shape, int8) not in self._made:
            smaller, widths = self._smaller(shape)
            if smaller is not self.model:
                reestimate_norms(smaller, self._seen, spec=self._card.image)
            file, size = self._opened(smaller, int8=int8)
            self._made[shape, int8] = Made(net=smaller, widths=widths, file=file, bytes=size)
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
