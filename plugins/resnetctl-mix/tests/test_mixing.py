"""Mixing equals slow references, and targets agree with the mixed pixels."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from resnetctl_mix import mixing
from torch import Tensor

CLASSES = 7


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def batch(count: int = 60, size: int = 16, channels: int = 3) -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8).permute(0, 3, 1, 2)
    return images, torch.randint(0, CLASSES, (count,))


def mixed_by(mix: Callable[[Tensor], tuple[Tensor, Tensor]], images: Tensor, targets: Tensor, count: int) -> Any:
    """Return mixed images, and soft targets of `count` classes."""
    mixed, share = mix(images)
    return mixed, mixing.mix_targets(targets, share, num_classes=count)


def one_hot(targets: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(targets, CLASSES).float()


@pytest.mark.parametrize("mix", [mixing.mixup, mixing.cutmix, mixing.mixup_cutmix])
@pytest.mark.parametrize(("count", "size", "channels"), [(60, 8, 1), (60, 33, 3), (2, 32, 3), (1, 8, 3)])
def test_shapes_types_and_input_are_kept(mix: Any, count: int, size: int, channels: int) -> None:
    images, targets = batch(count, size, channels)
    before = images.clone(), targets.clone()
    mixed, soft = mixed_by(mix, images, targets, CLASSES)
    assert mixed.shape == images.shape
    assert mixed.dtype == (torch.uint8 if mix is mixing.cutmix else torch.float32)
    assert 0 <= float(mixed.min()) <= float(mixed.max()) <= 255
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert soft.shape == (count, CLASSES)
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(1), torch.ones(count))
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_mixup_mixes_pixels_and_targets_by_one_share_an_image() -> None:
    images, targets = batch()
    mixed, soft = mixed_by(mixing.mixup, images, targets, CLASSES)
    torch.manual_seed(0)
    batch()
    share = torch.rand(60)
    assert share.std() > 0.2  # each image has its own share
    for place in range(60):
        own = float(share[place])
        expected = own * images[place].double() + (1 - own) * images[place - 1].double()
        torch.testing.assert_close(mixed[place].double(), expected, atol=1e-4, rtol=0)
        wanted = own * one_hot(targets)[place] + (1 - own) * one_hot(targets)[place - 1]
        torch.testing.assert_close(soft[place], wanted)


def test_mixup_stays_within_the_levels_of_both() -> None:
    images = torch.randint(0, 2, (500, 3, 4, 4), dtype=torch.uint8) * 255
    mixed = mixing.blend(images, mixing.before(images), torch.rand(500))
    assert mixed.min() >= 0
    assert mixed.max() <= 255


def test_cutmix_targets_equal_the_pasted_area() -> None:
    count = 200
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    targets = torch.arange(count)
    mixed, soft = mixed_by(mixing.cutmix, images.contiguous(memory_format=torch.channels_last), targets, count)
    for place in range(count):
        own = float((mixed[place, 0] == place).double().mean())
        assert float(soft[place, place]) == pytest.approx(own, abs=1e-6)
        assert float(soft[place, place - 1]) == pytest.approx(1 - own, abs=1e-6)
        assert set(mixed[place].unique().tolist()) <= {place, (place - 1) % count}
        assert (mixed[place] == mixed[place, :1]).all()  # one box for all channels


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (33, 3), (9, 2)])
def test_paste_equals_slicing(size: int, channels: int) -> None:
    images, _ = batch(80, size, channels)
    box = mixing.draw_boxes(torch.rand(80), size=size)
    mixed = mixing.paste(images, box)
    for place, (top, left, bottom, right) in enumerate(torch.cat(box).T.tolist()):
        expected = images[place].clone()
        expected[:, top:bottom, left:right] = images[place - 1][:, top:bottom, left:right]
        assert torch.equal(mixed[place], expected)


def test_boxes_have_the_distribution_of_the_paper() -> None:
    share = torch.rand(4000)
    low, high = mixing.draw_boxes(share, size=32)
    assert low.min() == 0
    assert high.max() == 32
    assert (high >= low).all()
    sides = (high - low).double()
    unclipped = (low > 0).all(0) & (high < 32).all(0)
    expected = (0.5 * (1 - share[unclipped]).sqrt() * 32).long() * 2
    assert torch.equal(sides[0, unclipped].long(), expected)
    assert torch.equal(sides[1, unclipped].long(), expected)
    kept = mixing.kept((low, high), size=32)
    assert 0.6 < float(kept.mean()) < 0.75  # would be 0.5 if borders clipped no box
    assert torch.equal(kept[unclipped], 1 - expected.float() ** 2 / 32**2)


def test_mixup_cutmix_mixes_each_image_once() -> None:
    count = 1000
    images = torch.where(torch.arange(count) % 2 == 0, 0, 240).to(torch.uint8)[:, None, None, None]
    images = images.expand(-1, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    mixed, soft = mixed_by(mixing.mixup_cutmix, images, torch.arange(count) % 2, 2)
    flat = (mixed == mixed[:, :, :1, :1]).flatten(1).all(1)
    levels = mixed[~flat].unique()
    assert levels.tolist() == [0, 240]  # pasted, and not blended
    assert 0.42 < float(flat.double().mean()) < 0.58
    torch.testing.assert_close(soft[:, 1], mixed.mean((1, 2, 3)) / 240, atol=1e-5, rtol=0)


def test_soft_targets_are_mixed_too() -> None:
    soft = torch.softmax(torch.randn(5, CLASSES), 1)
    before = soft.clone()
    mixed = mixing.mix_targets(soft, torch.tensor([1.0, 0.0, 0.5, 1.0, 0.25]), num_classes=CLASSES)
    torch.testing.assert_close(mixed[:2], torch.stack([soft[0], soft[0]]))
    torch.testing.assert_close(mixed[2], (soft[1] + soft[2]) / 2)
    assert torch.equal(soft, before)


def test_a_batch_of_one_image_is_mixed_with_itself() -> None:
    images, targets = batch(1)
    mixed, soft = mixed_by(mixing.mixup, images, targets, CLASSES)
    torch.testing.assert_close(mixed, images.float())
    torch.testing.assert_close(soft, one_hot(targets))


@pytest.mark.parametrize("mix", [mixing.mixup, mixing.cutmix, mixing.mixup_cutmix])
def test_numbers_are_mixed_by_the_shares_of_the_targets(mix: Any) -> None:
    images, targets = batch()
    vectors = one_hot(targets)
    before = vectors.clone()
    _, share = mix(images)
    soft = mixing.mix_targets(targets, share, num_classes=CLASSES)
    torch.testing.assert_close(mixing.mix_vectors(vectors, share), soft)
    assert torch.equal(vectors, before)
