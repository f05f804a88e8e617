"""A copy between devices is an error, and work on one device is counted."""

import pytest
import torch

from resnetctl import registry
from resnetctl.spec import ImageSpec
from resnetctl.testing.findings import Skipped
from resnetctl.testing.waits import ACCELERATOR, NoWaits, require_capturable


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


def test_every_transform_of_a_policy_must_be_capturable() -> None:
    policy, image = registry.get("policy", "standard"), ImageSpec(size=8)
    sound = policy.build(image, 3)
    assert require_capturable(policy, [sound, sound], image=image) == "may be part of a CUDA graph"
    with pytest.raises(Skipped, match="reads a number"):
        require_capturable(policy, [sound, lambda batch: batch.images[int(batch.step)]], image=image)
