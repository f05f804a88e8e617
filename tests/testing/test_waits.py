"""A copy between devices is an error, and work on one device is counted."""

import pytest
import torch

from resnetctl.testing.waits import ACCELERATOR, NoWaits


def test_work_on_one_device_is_counted() -> None:
    with NoWaits() as operations:
        torch.zeros(3, device=ACCELERATOR).add_(1).clone()
    assert operations.count == 3


@pytest.mark.parametrize(
    "copy", [lambda: torch.ones(2).to(ACCELERATOR), lambda: torch.zeros(2, device=ACCELERATOR).copy_(torch.ones(2))]
)
def test_a_copy_to_the_device_is_an_error(copy: object) -> None:
    with NoWaits(), pytest.raises(RuntimeError, match="copies between"):
        copy()  # type: ignore[operator]
