"""The time that two ONNX files take on this machine, in turns, with one thread."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetctl.deploy.onnx_session import OnnxModel
from resnetctl.engine.metrics import Images, Predictor
from resnetctl.engine.stopwatch import Spread, interleave, ratios
from resnetctl.spec import Card

SAMPLE = 0.05  # seconds of one sample, at least one batch
SECONDS = 6.0  # for one batch size
ROUNDS = 21
CALLS = 400  # for a percentile
BASE = "base"
SIZES = (1, 64)  # images a batch
Prepared = Images | Mapping[str, Images]


def speedups(
    base: OnnxModel, others: Mapping[str, OnnxModel], *, images: Prepared, sizes: Sequence[int] = SIZES
) -> dict[str, dict[int, Spread]]:
    """Return how many times as fast as `base` each of the others is, by name and images a batch.

    Args:
        images: (N, S, S, C) uint8; batches are cut from them, repeated if there are too few. Where networks read other
            sizes, those of each network, by name and `BASE`.
    """
    results: dict[str, dict[int, Spread]] = {name: {} for name in others}
    for size in sizes:
        ways = {
            name: Repeated(model.logits, batch_of(images, name, size=size))
            for name, model in ((BASE, base), *others.items())
        }
        speeds = interleave(ways, seconds=SECONDS, rounds=ROUNDS, needed=len(ways))
        for name in others:
            results[name][size] = ratios(speeds[name], speeds[BASE])
    return results


class Repeated:
    """A way that predicts a batch for some seconds, at least once: returns batches a second."""

    def __init__(self, predict: Predictor, batch: Images, *, seconds: float | None = None) -> None:
        self._predict = predict
        self._batch = batch
        self._seconds = SAMPLE if seconds is None else seconds

    def __call__(self) -> float:
        began, done = time.perf_counter(), 0
        while not done or time.perf_counter() - began < self._seconds:
            self._predict(self._batch)
            done += 1
        return done / (time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True)
class Latency(Card):
    """Milliseconds of one batch with one thread: the median and the 95th percentile of `n` calls."""

    p50: float
    p95: float
    n: int


def latencies(
    models: Mapping[str, OnnxModel], *, images: Prepared, sizes: Sequence[int] = SIZES
) -> dict[str, dict[int, Latency]]:
    """Return the latencies of networks by name and images a batch, called one by one in alternating order."""
    results: dict[str, dict[int, Latency]] = {name: {} for name in models}
    for size in sizes:
        ways = {
            name: Repeated(model.logits, batch_of(images, name, size=size), seconds=0) for name, model in models.items()
        }
        rates = interleave(ways, seconds=SECONDS, rounds=CALLS, needed=len(ways))
        for name in models:
            times = [1000 / rate for rate in rates[name]]
            p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
            results[name][size] = Latency(p50=statistics.median(times), p95=p95, n=len(times))
    return results


def batch_of(images: Prepared, name: str, *, size: int) -> Images:
    """Return a batch for a network; there is one set of images for all of them, or one for each name."""
    own: Images = images[name] if isinstance(images, Mapping) else images
    return own[[place % len(own) for place in range(size)]]
