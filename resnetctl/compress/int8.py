"""Make an int8 file that is as good as its float32 file, and faster: quantise, compare on val, put layers back.

Shapes: N images, S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.compress.latency import speedups
from resnetctl.deploy.int8 import Ranges, calibrate
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.engine.metrics import Z95, Images, Labels, Logits
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, DataError
from resnetctl.hints import Setting
from resnetctl.spec import Card
from resnetctl.system.machine import has_vnni

MOST_FLOAT = 0.5  # of the layers may go back to float32; then int8 is not worth it
SLOW = 1.0  # times the speed of float32
SHOWN = 10  # layers in an error
Batches = Sequence[tuple[Images, Labels]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an int8 file must keep.

    Args:
        max_drop: largest fall of the accuracy on val, in percent points.
        allow_slower: accept a file that is slower than float32 on this machine.
        until: `time.monotonic()` after which no more layers are tried in float32.
    """

    max_drop: float = 0.5
    allow_slower: bool = False
    until: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Gap(Card):
    """The accuracies of two files on the same images, 0..1.

    Attributes:
        drop: how much lower the second accuracy is.
        interval: the 95 % interval of `drop`, from the images on which the files differ.
        agreement: share of images with the same top-1.
    """

    before: float
    after: float
    drop: float
    interval: tuple[float, float]
    agreement: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Int8Report(Card):
    """How an int8 file was made, and what it costs and gains.

    Attributes:
        calibration: number of images that gave the ranges of values.
        float_layers: layers with weights that stayed float32.
        layers: number of layers with weights.
        reduce_range: weights use 7 of 8 bits, for processors without VNNI.
        float_bytes: size of the float32 file.
        speedup: how many times as fast as float32 on this machine with one thread, by images a batch.
    """

    calibration: int
    float_layers: tuple[str, ...]
    layers: int
    reduce_range: bool
    float_bytes: int
    gap: Gap
    speedup: dict[str, Spread] = field(default_factory=dict)

    @property
    def slow_sizes(self) -> frozenset[str]:
        """The sizes of a batch for which three of four samples were slower than float32."""
        return frozenset(size for size, spread in self.speedup.items() if spread.high < SLOW)

    def recorded(self) -> dict[str, Any]:
        """Return what the file's metadata keep: no measured time, so the same inputs give the same bytes."""
        kept = ("calibration", "float_layers", "reduce_range")
        return {key: value for key, value in self.to_json().items() if key in kept}


def quantise(data: bytes, images: Images, *, val: Batches, limits: Limits) -> tuple[Ranges, Int8Report]:
    """Choose the layers that become int8, and return the ranges that make the file, with the report.

    Args:
        data: the float32 file.
        images: (N, S, S, C) uint8 for the ranges of values.
        val: images with labels (N,) in the order of the outputs, for the gate.

    Raises:
        CheckFailed: int8 loses more accuracy than allowed, also with half of the layers in float32, or is slower for
            one of the sizes of a batch.
        DataError: the network has one class, so nothing can be lost.
        WorkFailed: onnxruntime cannot quantise the network.
    """
    maker = _Maker(data, images, val)
    if maker.classes < 2:
        raise DataError("the network has one class, so its accuracy cannot show what int8 costs")
    floats = _without_slow_groups(maker)
    floats, gap = _put_back(maker, floats, limits)
    report = Int8Report(
        calibration=len(images),
        float_layers=floats,
        layers=len(maker.ranges.layers),
        reduce_range=maker.ranges.reduce_range,
        float_bytes=len(data),
        gap=gap,
        speedup=maker.speedup(floats),
    )
    return maker.ranges, report if limits.allow_slower else _not_slower(maker, report)


def _not_slower(maker: _Maker, report: Int8Report) -> Int8Report:
    """Return the report of a file that is not slower than float32. Raises `CheckFailed` for one that is slower.

    Before that, the file is timed again: a busy moment of the machine refuses nothing.
    """
    slow = report.slow_sizes
    if slow:
        report = replace(report, speedup=maker.speedup(report.float_layers))
    if not slow & report.slow_sizes:
        return report
    raise CheckFailed(
        "int8 is slower than float32 on this machine; no file was written",
        problems=[_line(size, spread) for size, spread in report.speedup.items()],
        hint=Setting("allow_slower", True, note="writes it all the same, for another machine or for its size"),
    )


def slow_lines(report: Int8Report) -> list[str]:
    """Return one line for each size of a batch at which int8 gains no time."""
    slow = {size: spread for size, spread in report.speedup.items() if spread.median < SLOW}
    words = {size: "slower than" if size in report.slow_sizes else "about as fast as" for size in slow}
    return [f"int8 is {words[size]} float32 on this machine: {_line(size, slow[size])}" for size in slow]


def _line(size: str, spread: Spread) -> str:
    return f"batch of {size}: {spread.median:.2f} times the speed of float32 ({spread.low:.2f} to {spread.high:.2f})"


def gap_between(before: NDArray[np.int64], after: NDArray[np.int64], *, labels: Labels) -> Gap:
    """Return the gap between two lists of predicted classes (N,) for images of these classes (N,).

    The interval is Wald's for paired proportions (Agresti 2013, Categorical Data Analysis, 11.1.1): it follows from the
    images that one file gets right and the other wrong, so it is narrower than the interval of each accuracy.
    """
    count, right = len(labels), (before == labels, after == labels)
    lost, won = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    drop = (lost - won) / count
    half = Z95 * math.sqrt(max(0.0, lost + won - (lost - won) ** 2 / count)) / count
    return Gap(
        before=float(right[0].mean()),
        after=float(right[1].mean()),
        drop=drop,
        interval=(drop - half, drop + half),
        agreement=float((before == after).mean()),
        count=count,
    )


class _Maker:
    """The float32 file, its ranges and its outputs, and the measures of the int8 files that are made from it."""

    def __init__(self, data: bytes, images: Images, val: Batches) -> None:
        self.ranges = calibrate(data, images, reduce_range=not has_vnni())
        self._float = from_bytes(data, "the float32 file")
        self._images = images
        self._val = val
        self._labels = np.concatenate([labels for _, labels in val])
        self._before = self._predicted(self._float.logits)
        self._logits = self._float.logits(images)

    @property
    def classes(self) -> int:
        return int(self._logits.shape[1])

    def gap(self, floats: Sequence[str]) -> Gap:
        """Return the gap on val of the file whose named layers are float32."""
        model = from_bytes(self.ranges.quantised(floats=floats), "the int8 file")
        return gap_between(self._before, self._predicted(model.logits), labels=self._labels)

    def speedup(self, floats: Sequence[str]) -> dict[str, Spread]:
        """Return how many times as fast as float32 that file is, by images a batch."""
        model = from_bytes(self.ranges.quantised(floats=floats), "the int8 file")
        measured = speedups(self._float, {"int8": model}, images=self._images)["int8"]
        return {str(size): spread for size, spread in measured.items()}

    def most_hurt(self, floats: Sequence[str]) -> list[str]:
        """Return the int8 layers, those first that alone change the logits of the calibration images most."""
        names = [name for name in self.ranges.layers if name not in floats]
        errors = {name: self._error([other for other in self.ranges.layers if other != name]) for name in names}
        return sorted(names, key=lambda name: -errors[name])

    def _error(self, floats: Sequence[str]) -> float:
        model = from_bytes(self.ranges.quantised(floats=floats), "the int8 file")
        changed: Logits = model.logits(self._images) - self._logits
        return float(np.square(changed).mean())

    def _predicted(self, predict: Any) -> NDArray[np.int64]:
        return np.concatenate([predict(images).argmax(axis=1) for images, _ in self._val])


def _without_slow_groups(maker: _Maker) -> tuple[str, ...]:
    """Return the grouped and depthwise layers if int8 is faster with them in float32, else nothing."""
    grouped = maker.ranges.grouped
    if not grouped:
        return ()
    # the size of a batch that gains least decides, because the file may be slower for none
    plain, mixed = (min(spread.median for spread in maker.speedup(floats).values()) for floats in ((), grouped))
    return grouped if mixed > plain else ()


def _put_back(maker: _Maker, floats: tuple[str, ...], limits: Limits) -> tuple[tuple[str, ...], Gap]:
    """Put layers back to float32, one by one, until the accuracy holds. Raises `CheckFailed` when too many must go."""
    gap = maker.gap(floats)
    if 100 * gap.drop <= limits.max_drop:
        return floats, gap
    most = max(1, int(MOST_FLOAT * len(maker.ranges.layers)))
    first, tried = gap, floats
    hurt = maker.most_hurt(floats) if time.monotonic() < limits.until else []
    for name in hurt[: max(0, most - len(floats))]:
        if time.monotonic() >= limits.until:
            break
        tried = (*tried, name)
        gap = maker.gap(tried)
        if 100 * gap.drop <= limits.max_drop:
            return tried, gap
    low, high = (100 * value for value in first.interval)
    still = f"still {100 * gap.drop:.2f} points with these layers in float32: {', '.join(tried[:SHOWN])}"
    raise CheckFailed(
        f"int8 loses {100 * first.drop:.2f} points on val (95 % interval {low:.2f} to {high:.2f}, "
        f"{first.count:,} images), and {limits.max_drop:g} are allowed; no file was written",
        problems=[still if time.monotonic() < limits.until else "the budget left no time to put more layers back"],
        hint=Setting("max_drop", math.ceil(10 * 100 * gap.drop) / 10, note="accepts it"),
    )
