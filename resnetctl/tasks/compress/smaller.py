"""Cut a network: choose what to remove by importance and measured time, and measure the smaller network."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from resnetctl import __version__
from resnetctl.compress.cost import params
from resnetctl.compress.depths import Depths
from resnetctl.compress.shape_search import largest
from resnetctl.compress.speed_plan import LatencyTable, even_depths
from resnetctl.data.store import Store
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.models.resnet import ResNet
from resnetctl.registry.folders import installed
from resnetctl.spec import WeightsCard
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.order import Cut
from resnetctl.tasks.compress.report import Accuracy, CutFacts
from resnetctl.tasks.compress.variants import Shape, Variants
from resnetctl.weights.file import Header, load_network, to_bytes

SLIGHT = 1.1  # the smallest speed-up that a hint names


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


class Planner:
    """A network and the measures that its smaller versions are made by; each is taken once.

    Args:
        seconds: for the importance of the blocks, which then sees fewer images.
        whole: the file of the whole network, where it was made and measured before.
            What is wrong with val was said then.
    """

    def __init__(self, header: Header, store: Store, *, seconds: float = math.inf, whole: File | None = None) -> None:
        self._card, self._judge, self._path = header.card, Judge(header.card, store), header.path
        self._known = whole
        self._variants = Variants(load_network(header), self._judge, seconds=seconds, whole=whole)
        if whole is None:
            self._variants.notices += self._judge.notices

    def smaller(self, cut: Cut, *, limit: Limit | None = None) -> Smaller:
        """Return the network after a cut. Raises `CheckFailed` when no cut keeps the limits."""
        whole, is_int8, table = self._card.arch.depths, limit is not None and limit.int8, None
        if cut.keep_blocks is not None or cut.channels is not None:
            shape = Shape(depths=cut.keep_blocks or whole, channels=cut.channels)
        elif limit is not None:
            shape, table = self.within(limit, speedup=cut.speedup)
        else:
            shape, table = self.planned(cut.speedup or 0)
        made = self._variants.timed(shape, int8=is_int8)
        card = cut_card(self._card, made.net)
        facts = CutFacts(
            before=whole,
            after=shape.depths,
            removed=self._variants.removed(shape.depths),
            widths=made.widths,
            table=table,
            speedup={str(size): value for size, value in made.speedup.items()},
            params=(params(self._variants.model), params(made.net)),
            accuracy=(self._accuracy, self._judge.accuracy(made.net)),
        )
        notices = tuple(self._variants.notices)
        self._variants.notices.clear()  # a second call does not say them again
        return Smaller(data=to_bytes(made.net.state_dict(), card), card=card, facts=facts, notices=notices)

    @cached_property
    def _accuracy(self) -> Accuracy:
        """The accuracy of the whole network."""
        return self._judge.accuracy(self._variants.model) if self._known is None else self._known.accuracy

    def planned(self, speedup: float) -> tuple[Shape, LatencyTable]:
        """Return the most blocks that reach the speed-up for single images, measured, and the table of latencies."""
        table = self._variants.table
        reached: dict[Shape, float] = {}

        def measure(shape: Shape) -> float:
            reached[shape] = self._variants.gain(shape)
            return reached[shape]

        shapes = [Shape(depths=keep) for keep in self._even]
        shape = largest(shapes, needed=speedup, predicted=self._predicted(table), measure=measure)
        if shape is not None:
            return shape, table
        best = max(reached, key=lambda shape: reached[shape])
        raise CheckFailed(
            f"no number of blocks makes the network {speedup:g} times as fast on this machine; no file was written",
            where=str(self._path),
            problems=[f"{best}: {reached[best]:.2f} times as fast"],
            hint=Setting("speedup", int(10 * reached[best]) / 10)
            if reached[best] >= SLIGHT
            else Call("runs list", note="has other networks: is this one a smaller one already?"),
        )

    def within(self, limit: Limit, *, speedup: float | None) -> tuple[Shape, LatencyTable | None]:
        """Return the shape with the most blocks that keeps the limits, measured, and the table of latencies.

        After the fewest blocks, channels go, too.
        """
        table, needed, best = None, speedup or 0.0, ""
        if speedup is not None or limit.target_ms is not None:
            table = self._variants.table
            needed = table.whole / limit.target_ms if limit.target_ms is not None else needed

        def measure(shape: Shape) -> float | None:
            nonlocal best
            gain, size = self._variants.gain(shape, int8=limit.int8), self._variants.made(shape, int8=limit.int8).bytes
            speed = f"{gain:.2f} times as fast"
            if table is not None and limit.target_ms is not None:
                speed = f"{table.whole / gain:.3g} ms an image, and {limit.target_ms:g} ms are wanted"
            best = f"{shape}: {speed}, {size:,} bytes"
            return gain if not limit.size or size <= limit.size else None

        shapes = list(self._shapes(int8=limit.int8))
        small = [shape for shape in shapes if not self._is_too_large(shape, limit)]
        predicted = self._predicted(table, int8=limit.int8)
        shape = largest(small or shapes[-1:], needed=needed, predicted=predicted, measure=measure)
        if shape is not None:
            return shape, table
        form = "int8" if limit.int8 else "float32"
        raise CheckFailed(f"no {form} file of this network keeps these limits", problems=[best] if best else ())

    def _predicted(self, table: LatencyTable | None, *, int8: bool = False) -> Callable[[Shape], float]:
        """Return the function that predicts the speed-up of a shape from its blocks; without a table it is 1.

        In int8 every block gains what the whole network gains, which is measured.
        """
        depths = self._card.arch.depths
        factor = self._variants.gain(self._variants.whole, int8=True) if int8 and table is not None else 1.0
        return lambda shape: 1.0 if table is None else factor * table.predicted(depths, shape.depths)

    @cached_property
    def _even(self) -> list[Depths]:
        depths = self._card.arch.depths
        return even_depths(depths, self._variants.scores) if max(depths) > 1 else []

    def _shapes(self, *, int8: bool) -> Iterator[Shape]:
        """Yield shapes, the largest first. The whole network is one of them where int8 alone may be enough."""
        depths = self._card.arch.depths
        if int8:
            yield Shape(depths=depths)
        yield from (Shape(depths=keep) for keep in self._even)
        last = Shape(depths=self._even[-1] if self._even else depths, channels=0.5)
        with contextlib.suppress(UsageError):  # no channel can go
            self._variants.net(last)
            yield last

    def _is_too_large(self, shape: Shape, limit: Limit) -> bool:
        """Return whether the weights alone take more bytes than the file may have."""
        return bool(limit.size) and self._variants.params_of(shape) * (1 if limit.int8 else 4) > limit.size
