"""Padding, cropping and mirroring equal a slow reference, and draws have the right frequencies."""

import pytest
import torch
from resnetctl_mix import crops

from resnetctl.spec import Batch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("side", "size", "pad"), [(32, 32, 4), (8, 8, 1), (33, 33, 4), (12, 8, 1), (5, 5, 0)])
def test_cut_equals_slicing_of_padded_images(side: int, size: int, pad: int) -> None:
    pixels = torch.randint(1, 256, (50, side, side, 3), dtype=torch.uint8)
    spare = side + 2 * pad - size
    corners = torch.randint(0, spare + 1, (2, 50))
    corners[:, :2] = torch.tensor([[0, spare], [spare, 0]])
    corners[:, -1] = spare  # the last one in memory
    padded = torch.nn.functional.pad(pixels, (0, 0, pad, pad, pad, pad))
    cut = crops.cut(pixels, corners, size=size, pad=pad)
    for place, (row, column) in enumerate(corners.T.tolist()):
        assert torch.equal(cut[place], padded[place, row : row + size, column : column + size])


@pytest.mark.parametrize("chosen", [[True, False, True], [False] * 3, [True] * 3])
def test_turn_mirrors_only_the_chosen_images(chosen: list[bool]) -> None:
    pixels = torch.randint(0, 256, (3, 5, 5, 3), dtype=torch.uint8)
    turned = crops.turn(pixels, torch.tensor(chosen))
    for place, mirrored in enumerate(chosen):
        assert torch.equal(turned[place], pixels[place].flip(1) if mirrored else pixels[place])


def batch(images: torch.Tensor, epoch: int = 0) -> Batch:
    count = len(images)
    return Batch(images=images, targets=torch.zeros(count), index=torch.arange(count), epoch=epoch, step=0)


def test_crops_are_drawn_uniformly_over_all_shifts() -> None:
    pixels = torch.zeros(4000, 16, 16, 1, dtype=torch.uint8)
    pixels[:, 8, 8] = 255
    moved = crops.crop_and_mirror(batch(pixels.permute(0, 3, 1, 2)), size=16, mirror=False)[:, 0].nonzero()[:, 1:] - 8
    assert moved.unique().tolist() == [-2, -1, 0, 1, 2]
    counts = torch.bincount((moved + 2) @ torch.tensor([5, 1]), minlength=25)
    assert 100 < int(counts.min()) <= int(counts.max()) < 225  # 160 each, five standard deviations


def test_an_image_is_mirrored_in_every_other_epoch() -> None:
    ramp = torch.arange(1, 17, dtype=torch.uint8).expand(10, 1, 16, 16)
    for epoch in (0, 1):
        mirrored = crops.crop_and_mirror(batch(ramp, epoch), size=16, mirror=True)[:, 0, 8]
        assert (mirrored[:, 5] > mirrored[:, 10]).tolist() == [place % 2 == epoch for place in range(10)]
