"""A network is measured batch by batch."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from resnetctl.engine.meters.run import measure_net
from resnetctl.engine.meters.segment import SegmentMeter
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Masks


def test_predictions_and_truths_reach_the_meter_in_order() -> None:
    masks = torch.arange(12, dtype=torch.uint8).view(3, 2, 2) % 2
    batches = [((part.numpy(),), Masks(masks=part)) for part in (masks[:1], masks[1:])]
    report = measure_net(lambda images: (images.astype(np.int64),), batches, meter=SegmentMeter(("a", "b")))
    assert report.count == 3
    assert report.figures["miou"] == 1


def test_no_batch_is_an_error_and_a_broken_prediction_names_the_network() -> None:
    meter = SegmentMeter(("a", "b"))
    with pytest.raises(DataError, match="no images"):
        measure_net(lambda images: (images,), [], meter=meter)
    masks = torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(WorkFailed, match="its weights are broken"):
        measure_net(lambda _: (np.full((1, 2, 2), 2),), [((masks.numpy(),), Masks(masks=masks))], meter=meter)


def test_batches_are_read_one_at_a_time() -> None:
    events: list[str] = []

    def batches() -> Iterator[tuple[tuple[np.ndarray], Masks]]:
        for number in range(2):
            events.append(f"read {number}")
            masks = torch.zeros(1, 2, 2, dtype=torch.uint8)
            yield (masks.numpy(),), Masks(masks=masks)

    def predict(images: np.ndarray) -> tuple[np.ndarray]:
        events.append("predict")
        return (images,)

    measure_net(predict, batches(), meter=SegmentMeter(("a",)))
    assert events == ["read 0", "predict", "read 1", "predict"]
