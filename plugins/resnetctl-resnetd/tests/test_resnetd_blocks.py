"""The average-pool shortcut equals a slow reference, and the blocks work in other networks."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resnetctl_resnetd.blocks import ResNetDBasicBlock, ResNetDBottleneckBlock, average_shortcut
from torch import nn

from resnetctl import registry
from resnetctl.models.resnet import build, count_params
from resnetctl.spec import ImageSpec

BLOCKS = [ResNetDBasicBlock, ResNetDBottleneckBlock]


@given(height=st.integers(1, 9), width=st.integers(1, 9), stride=st.sampled_from([2, 3]))
@settings(max_examples=40, deadline=None)
def test_windows_average_only_pixels_inside_the_image(height: int, width: int, stride: int) -> None:
    images = torch.randn(2, 3, height, width)
    pooled = average_shortcut(3, 4, stride=stride)[0](images)
    assert pooled.shape == (2, 3, math.ceil(height / stride), math.ceil(width / stride))
    for row in range(pooled.shape[2]):
        for column in range(pooled.shape[3]):
            window = images[:, :, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
            torch.testing.assert_close(pooled[:, :, row, column], window.mean((2, 3)))


def test_every_pixel_reaches_the_shortcut() -> None:
    """The paper's reason: a projection with stride 2 would read only one pixel in four."""
    shortcut = average_shortcut(4, 8, stride=2).eval()
    images = torch.randn(1, 4, 7, 7, requires_grad=True)
    shortcut(images).square().sum().backward()
    assert (images.grad != 0).all()


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ((8, 16, 2), [nn.AvgPool2d, nn.Conv2d, nn.BatchNorm2d]),
        ((8, 8, 2), [nn.AvgPool2d, nn.Conv2d, nn.BatchNorm2d]),
        ((8, 16, 1), [nn.Identity, nn.Conv2d, nn.BatchNorm2d]),
        ((8, 8, 1), []),
    ],
)
def test_the_shortcut_pools_projects_and_norms(arguments: tuple[int, int, int], kinds: list[type]) -> None:
    in_channels, out_channels, stride = arguments
    shortcut = average_shortcut(in_channels, out_channels, stride=stride)
    assert [type(module) for module in shortcut.children()] == kinds


@pytest.mark.parametrize("block", BLOCKS)
def test_the_branch_equals_that_of_the_plain_block(block: type[nn.Module]) -> None:
    name = {"ResNetDBasicBlock": "basic", "ResNetDBottleneckBlock": "bottleneck"}[block.__name__]
    width = 16 // block.expansion
    plain, ours = registry.get("block", name)(16, width).eval(), block(16, width).eval()
    ours.load_state_dict(plain.state_dict())
    images = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(ours(images), plain(images))


@pytest.mark.parametrize(("arch", "block"), [("resnet20", "resnetd_basic"), ("resnet50", "resnetd_bottleneck")])
def test_the_blocks_work_in_other_archs_and_add_no_parameters(arch: str, block: str) -> None:
    plain = dataclasses.replace(registry.get("arch", arch), block_args={})
    ours = dataclasses.replace(plain, block=block)
    assert count_params(ours) == count_params(plain)


def test_a_network_learns_from_odd_sizes() -> None:
    net = build(dataclasses.replace(registry.get("arch", "resnetd20"), depths=(1, 1, 1)), classes=5,
                image=ImageSpec(size=29))  # fmt: skip
    loss = net(torch.randn(2, 3, 29, 29)).logsumexp(1).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("block", BLOCKS)
def test_rates_act_in_training_only_and_are_below_one(block: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"drop_path 1\.0 must be at least 0 and below 1"):
        block(8, 8, drop_path=1.0)
    with pytest.raises(ValueError, match="dropout"):
        block(8, 8, dropout=1.5)
    torch.manual_seed(0)
    images = torch.randn(4, 8, 4, 4)
    unit = block(8, 8, dropout=0.5, drop_path=0.5)
    assert not torch.equal(unit(images), unit(images))
    unit.eval()
    assert torch.equal(unit(images), unit(images))
