"""Measure a network with a head: predictions of batches, and the truth of the same images, into a meter."""

from collections.abc import Iterable
from typing import Any

from resnetctl.engine.metrics import Images
from resnetctl.engine.predictors import NetPredictor
from resnetctl.spec import Measured, Meter, Truth


def measure_net(predict: NetPredictor, batches: Iterable[tuple[Images, Truth]], *, meter: Meter) -> Measured:
    """Run `predict` over all batches and return what the meter found.

    Args:
        batches: images (B, S, S, C) uint8, and their truth in pixels of S x S, on the CPU.

    Raises:
        DataError: there are no images.
        WorkFailed: a number of the prediction is not finite.
    """
    for images, truth in batches:
        prediction: tuple[Any, ...] = predict(images)
        meter.add(prediction, truth)
    return meter.report()
