"""The blocks have few weights, average in their shortcuts, and refuse wrong options."""

import pytest
import torch
from resnetctl_lite.blocks import InvertedBottleneckBlock, SeparableBlock
from torch import nn
from torch.nn import functional as F

BLOCKS = [SeparableBlock, InvertedBottleneckBlock]


def weights(block: nn.Module) -> int:
    return sum(module.weight.numel() for module in block.modules() if isinstance(module, nn.Conv2d))


def test_a_separable_convolution_has_9c_plus_c_squared_weights() -> None:
    assert weights(SeparableBlock(32, 32)) == 2 * (9 * 32 + 32 * 32)


def test_an_inverted_bottleneck_has_2tc_squared_plus_9tc_weights() -> None:
    assert weights(InvertedBottleneckBlock(16, 16, expand=6)) == 2 * 6 * 16 * 16 + 9 * 6 * 16


def test_a_depthwise_convolution_keeps_channels_apart() -> None:
    depthwise = SeparableBlock(4, 8, stride=2).conv1[0]
    images = torch.randn(1, 4, 5, 5)
    apart = [F.conv2d(images[:, [channel]], depthwise.weight[[channel]], stride=2, padding=1) for channel in range(4)]
    torch.testing.assert_close(depthwise(images), torch.cat(apart, 1))


def test_the_inverted_bottleneck_has_no_relu_after_the_sum() -> None:
    block = InvertedBottleneckBlock(8, 8).eval()
    nn.init.zeros_(block.conv3.weight)
    images = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(images), images)  # negative values too


def test_the_separable_block_ends_with_a_relu() -> None:
    assert (SeparableBlock(8, 8)(torch.randn(2, 8, 4, 4)) >= 0).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_shortcut_a_averages_and_pads(block: type[nn.Module]) -> None:
    shortcut = block(4, 9, stride=2, shortcut="A").downsample
    images = torch.randn(2, 4, 5, 5)
    out = shortcut(images)
    assert not shortcut.state_dict()
    assert out.shape == (2, 9, 3, 3)
    assert (out[:, :2] == 0).all()
    assert (out[:, 6:] == 0).all()
    torch.testing.assert_close(out[:, 2:6, 0, 0], images[:, :, :2, :2].mean((2, 3)))
    torch.testing.assert_close(out[:, 2:6, 2, 2], images[:, :, 4, 4])


@pytest.mark.parametrize("block", BLOCKS)
def test_shortcut_b_averages_and_projects(block: type[nn.Module]) -> None:
    shortcut = block(4, 9, stride=2).downsample.eval()
    images = torch.randn(2, 4, 6, 6)
    projection, norm = shortcut[1], shortcut[2]
    torch.testing.assert_close(shortcut(images), norm(projection(F.avg_pool2d(images, 2))))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortcut": "C"}, "shortcut must be 'A' or 'B', not 'C'"),
        ({"shortcut": "A"}, "cannot go from 8 to 4 channels, use 'B'"),
        ({"drop_path": -0.1}, "drop_path -0.1 must be at least 0 and below 1"),
    ],
)
def test_wrong_options_are_refused(block: type[nn.Module], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block(8, 4, **options)


def test_an_expansion_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="expand must be at least 1, not 0"):
        InvertedBottleneckBlock(8, 8, expand=0)


@pytest.mark.parametrize("block", BLOCKS)
def test_drop_path_leaves_the_shortcut_of_dropped_images(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 8, 3, 3)  # positive: a final ReLU changes nothing
    layer = block(8, 8, drop_path=0.5)
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)
    out = layer(images)
    dropped = [bool(torch.equal(*pair)) for pair in zip(out, images, strict=True)]
    assert 16 < sum(dropped) < 48


def test_a_new_separable_block_computes_the_identity() -> None:
    images = torch.rand(4, 8, 3, 3)
    assert torch.equal(SeparableBlock(8, 8)(images), images)
