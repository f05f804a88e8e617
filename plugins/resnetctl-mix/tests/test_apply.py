"""Each image of a batch gets its own operation, on the CPU and on accelerators."""

import pytest
import torch
from resnetctl_mix import spaces
from resnetctl_mix.apply import KERNELS, PARAMETERS, apply, by_groups, by_masks
from torch import Tensor

CPU = torch.device("cpu")


def drawn(count: int, size: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    images = torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8).permute(0, 3, 1, 2)
    kinds, values = spaces.tabulate(spaces.trivialaugment_plans(size), size, device=CPU).draw(count)[0]
    kinds[0] = list(KERNELS).index("invert")  # TrivialAugment has all operations but this one
    return images, kinds, values


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32, 33])
def test_a_batch_equals_its_images_augmented_one_by_one(size: int, channels: int) -> None:
    images, kinds, values = drawn(120, size, channels)
    before = images.clone()
    result = apply(images, kinds, values)
    for place in range(120):
        kernel = list(KERNELS.values())[int(kinds[place])]
        name = list(KERNELS)[int(kinds[place])]
        numbers = values[place : place + 1]
        alone = kernel(images[place : place + 1], numbers if name == "affine" else numbers[:, 0])
        assert torch.equal(result[place : place + 1], alone), name
    assert torch.equal(images, before)
    assert result.dtype == torch.uint8
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_both_implementations_give_the_same_result(channels: int) -> None:
    images, kinds, values = drawn(90, 16, channels)
    before = images.clone()
    assert torch.equal(by_masks(images, kinds, values), by_groups(images, kinds, values))
    assert torch.equal(images, before)


def test_the_identity_leaves_a_single_image_unchanged() -> None:
    images = torch.randint(0, 256, (1, 3, 5, 5), dtype=torch.uint8)
    nothing = torch.zeros(1, dtype=torch.int64), torch.zeros(1, PARAMETERS)
    assert torch.equal(apply(images, *nothing), images)
