"""The time that two ONNX files take on this machine, in turns, with one thread."""

import time
from collections.abc import Mapping, Sequence

from resnetctl.deploy.onnx_session import OnnxModel
from resnetctl.engine.metrics import Images, Predictor
from resnetctl.engine.stopwatch import Spread, interleave, ratios

SAMPLE = 0.05  # seconds of one sample, at least one batch
SECONDS = 6.0  # for one batch size
ROUNDS = 21
BASE = "base"
SIZES = (1, 64)  # images a batch


def speedups(
    base: OnnxModel, others: Mapping[str, OnnxModel], *, images: Images, sizes: Sequence[int] = SIZES
) -> dict[str, dict[int, Spread]]:
    """Return how many times as fast as `base` each of the others is, by name and images a batch.

    Args:
        images: (N, S, S, C) uint8; batches are cut from them, repeated if there are too few.
    """
    results: dict[str, dict[int, Spread]] = {name: {} for name in others}
    for size in sizes:
        batch = images[[place % len(images) for place in range(size)]]
        ways = {name: Repeated(model.logits, batch) for name, model in ((BASE, base), *others.items())}
        speeds = interleave(ways, seconds=SECONDS, rounds=ROUNDS, needed=len(ways))
        for name in others:
            results[name][size] = ratios(speeds[name], speeds[BASE])
    return results


class Repeated:
    """A way to spend `SAMPLE` seconds: returns batches a second."""

    def __init__(self, predict: Predictor, batch: Images) -> None:
        self._predict = predict
        self._batch = batch

    def __call__(self) -> float:
        began, done = time.perf_counter(), 0
        while not done or time.perf_counter() - began < SAMPLE:
            self._predict(self._batch)
            done += 1
        return done / (time.perf_counter() - began)
