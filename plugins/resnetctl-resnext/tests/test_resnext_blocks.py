"""The grouped bottleneck equals torchvision's, and its groups are separate as in the paper."""

import pytest
import torch
from resnetctl_resnext.archs import resnext50_32x4d
from resnetctl_resnext.blocks import ResNeXtBlock, inner_channels
from torch.nn import functional as F
from torchvision import models

from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec


def test_keys_and_outputs_equal_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = models.resnext50_32x4d().eval()
    ours = build(resnext50_32x4d, classes=1000, image=ImageSpec(size=224)).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 97, 97)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


def test_each_group_is_a_separate_convolution() -> None:
    """The grouped 3x3 equals one small convolution for each group (fig. 3)."""
    block = ResNeXtBlock(8, 64, groups=4, base_width=6)
    images = torch.randn(1, 24, 5, 5)
    assert block.conv2.weight.shape == (24, 6, 3, 3)
    paths = [
        F.conv2d(part, weight, padding=1)
        for part, weight in zip(images.chunk(4, 1), block.conv2.weight.chunk(4), strict=True)
    ]
    torch.testing.assert_close(block.conv2(images), torch.cat(paths, 1))


@pytest.mark.parametrize(
    ("width", "groups", "base_width", "channels"),
    [(64, 32, 4, 128), (512, 32, 4, 1024), (256, 8, 64, 2048), (16, 32, 4, 32), (8, 32, 4, 32), (24, 2, 4, 2)],
)
def test_inner_channels_are_a_multiple_of_the_groups(width: int, groups: int, base_width: int, channels: int) -> None:
    assert inner_channels(width, groups=groups, base_width=base_width) == channels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 0}, "groups must be at least 1, not 0"),
        ({"base_width": -4}, "base_width must be at least 1, not -4"),
        ({"drop_path": 1.0}, "drop_path 1.0 must be at least 0 and below 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNeXtBlock(8, 8, **options)


def test_drop_path_leaves_the_shortcut_of_dropped_images() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 32, 3, 3)  # positive: the final ReLU changes nothing
    block = ResNeXtBlock(32, 8, drop_path=0.5)
    dropped = [bool(torch.equal(*pair)) for pair in zip(block(images), images, strict=True)]
    assert 16 < sum(dropped) < 48
    block.eval()
    assert torch.equal(block(images), block(images))
