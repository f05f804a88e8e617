"""A network is measured batch by batch."""

import numpy as np
import torch

from resnetctl.engine.meters.run import measure_net
from resnetctl.engine.meters.segment import SegmentMeter
from resnetctl.spec import Masks


def test_predictions_and_truths_reach_the_meter_in_order() -> None:
    masks = torch.arange(12, dtype=torch.uint8).view(3, 2, 2) % 2
    batches = [(masks[:1].numpy(), Masks(masks=masks[:1])), (masks[1:].numpy(), Masks(masks=masks[1:]))]
    report = measure_net(lambda images: (images.astype(np.int64),), batches, meter=SegmentMeter(("a", "b")))
    assert report.count == 3
    assert report.figures["miou"] == 1
