"""Boxes and masks move exactly as the pixels under them: pictures of rectangles are moved beside their truth."""

import pytest
import torch
from torch import Tensor

from resnetctl.spec import IGNORE, Boxes, Labels, Masks

SIDE = 32


def boxes_of(*images: list[tuple[int, int, int, int, int]]) -> Boxes:
    """Boxes x1 y1 x2 y2 label of each image."""
    rows = [row for image in images for row in image]
    offsets = torch.tensor([0, *map(len, images)]).cumsum(0)
    table = torch.tensor(rows).reshape(-1, 5)
    return Boxes(offsets=offsets, boxes=table[:, :4].float(), labels=table[:, 4])


SCENE = boxes_of([(4, 6, 12, 20, 1), (20, 2, 30, 9, 0)], [], [(0, 0, 32, 32, 2)], [(25, 25, 31, 32, 1)])


def drawn(boxes: Boxes, side: int = SIDE) -> Masks:
    """The boxes painted into masks; the background is class 9."""
    masks = torch.full((len(boxes), side, side), 9, dtype=torch.uint8)
    for number, (image, labels) in enumerate(boxes.split()):
        for (x1, y1, x2, y2), label in zip(image.round().int().tolist(), labels.tolist(), strict=True):
            masks[number, y1:y2, x1:x2] = label
    return Masks(masks=masks)


def same(one: Boxes, other: Boxes) -> bool:
    pairs = ((one.offsets, other.offsets), (one.boxes, other.boxes), (one.labels, other.labels))
    return all(torch.equal(a, b) for a, b in pairs)


def test_take_picks_images_in_any_order_and_twice() -> None:
    taken = SCENE.take(torch.tensor([3, 1, 0, 3]))
    assert taken.counts.tolist() == [1, 0, 2, 1]
    assert taken.owners.tolist() == [0, 2, 2, 3]
    assert taken.boxes[1].tolist() == [4, 6, 12, 20]
    assert same(SCENE.take(torch.arange(4)), SCENE)


def test_take_of_images_without_boxes_gives_none() -> None:
    taken = SCENE.take(torch.tensor([1, 1]))
    assert len(taken) == 2
    assert taken.boxes.shape == (0, 4)
    assert taken.crop(torch.zeros(2, 2, dtype=torch.int64), size=8).boxes.shape == (0, 4)


def test_labels_and_masks_are_taken_by_image() -> None:
    index = torch.tensor([2, 0])
    assert Labels(labels=torch.tensor([5, 6, 7])).take(index).labels.tolist() == [7, 5]
    masks = drawn(SCENE)
    assert torch.equal(masks.take(index).masks, masks.masks[index])


def test_flip_mirrors_the_chosen_images_and_twice_is_nothing() -> None:
    chosen = torch.tensor([True, False, False, True])
    flipped = SCENE.flip(chosen, width=SIDE)
    assert torch.equal(drawn(flipped).masks, drawn(SCENE).flip(chosen, width=SIDE).masks)
    assert flipped.boxes[0].tolist() == [20, 6, 28, 20]
    assert same(flipped.flip(chosen, width=SIDE), SCENE)


def test_crop_moves_boxes_as_the_pixels_under_them() -> None:
    corners = torch.tensor([[4, 0, 8, 3], [4, 1, 0, 6]])  # with a padding of 4, top 4 and left 4 change nothing
    cut = SCENE.crop(corners, size=SIDE, pad=4)
    masks = drawn(SCENE).crop(corners, size=SIDE, pad=4).masks
    assert torch.equal(masks[0], drawn(SCENE).masks[0])
    assert (masks[2, :, :4] == IGNORE).all(), "left of the picture nothing is known"
    assert (masks[2, -4:] == IGNORE).all(), "nor below it"
    painted = drawn(cut).masks
    inside = masks != IGNORE
    assert torch.equal(painted[inside], masks[inside])


def test_a_box_of_which_little_is_left_is_dropped_and_the_others_are_clipped() -> None:
    scene = boxes_of([(0, 0, 8, 8, 0), (8, 8, 16, 16, 1)])
    cut = scene.crop(torch.tensor([[10], [1]]), size=12)
    assert cut.labels.tolist() == [1]  # of the first box nothing is left below row 10
    assert cut.boxes.tolist() == [[7, 0, 12, 6]]  # of the second 5 x 6 of 8 x 8 pixels
    assert scene.crop(torch.tensor([[15], [1]]), size=12).boxes.shape == (0, 4)


def test_a_small_box_that_was_not_cut_stays() -> None:
    scene = Boxes(offsets=torch.tensor([0, 1]), boxes=torch.tensor([[3.0, 3.0, 3.5, 3.5]]), labels=torch.tensor([0]))
    assert len(scene.crop(torch.zeros(2, 1, dtype=torch.int64), size=8).boxes) == 1


@pytest.mark.parametrize("size", [16, 64])
def test_resample_scales_a_window_of_each_image(size: int) -> None:
    windows = torch.tensor([[0, 0, 0, 16], [0, 0, 16, 16], [32, 32, 16, 16], [32, 32, 16, 16]])
    moved = SCENE.resample(windows, size=size)
    masks = drawn(SCENE).resample(windows, size=size).masks
    assert masks.shape == (4, size, size)
    assert torch.equal(masks[0], _scaled(drawn(SCENE).masks[0], size))
    assert moved.boxes[0].tolist() == [4 * size / SIDE, 6 * size / SIDE, 12 * size / SIDE, 20 * size / SIDE]
    assert moved.boxes[-1].tolist() == [9 * size / 16, 9 * size / 16, 15 * size / 16, size]
    assert torch.equal(drawn(moved, size).masks[3], masks[3])


def _scaled(mask: Tensor, size: int) -> Tensor:
    return torch.nn.functional.interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0].to(torch.uint8)


@pytest.mark.parametrize("size", [16, 24, 32, 80])
def test_resize_scales_boxes_and_picks_the_nearest_pixels(size: int) -> None:
    assert torch.allclose(SCENE.resize(SIDE, size=size).boxes, SCENE.boxes * size / SIDE)
    masks = drawn(SCENE)
    assert torch.equal(masks.resize(SIDE, size=size).masks[0], _scaled(masks.masks[0], size))
