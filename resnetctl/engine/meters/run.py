"""Measure a network with a head: predictions of batches, and the truth of the same images, into a meter."""

from collections.abc import Iterable
from typing import Any

from resnetctl.data.splits import Inputs
from resnetctl.engine.predictors import NetPredictor
from resnetctl.spec import Measured, Meter, Task, Truth, WeightsCard


def measure_net(predict: NetPredictor, batches: Iterable[tuple[Inputs, Truth]], *, meter: Meter) -> Measured:
    """Run `predict` over all batches and return what the meter found.

    Args:
        batches: the inputs of the network, and the truth in pixels of its images, on the CPU.

    Raises:
        DataError: there are no images.
        WorkFailed: a number of the prediction is not finite.
    """
    for inputs, truth in batches:
        prediction: tuple[Any, ...] = predict(*inputs)
        meter.add(prediction, truth)
    return meter.report()


def meter_of(task: Task, card: WeightsCard) -> Meter:
    """Return a meter for the answers of a network, with the thresholds of its card if val chose some."""
    thresholds: dict[str, Any] = {"thresholds": card.thresholds} if card.thresholds else {}
    return task.meter(card.classes, **thresholds)
