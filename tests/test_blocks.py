"""The door for plugin authors: all of it is public, documented and what the core uses itself."""

import inspect

import torch
from torch import nn

from resnetctl import blocks
from resnetctl.models.resnet import build
from resnetctl.registry import get, overlay
from resnetctl.spec import Arch, ImageSpec


def test_every_part_is_documented() -> None:
    for name in blocks.__all__:
        assert inspect.getdoc(getattr(blocks, name))
        assert name in (blocks.__doc__ or "") or issubclass(getattr(blocks, name), nn.Module)


def test_the_core_uses_the_same_parts() -> None:
    assert get("block", "basic") is blocks.BasicBlock
    assert isinstance(blocks.BasicBlock(4, 8, stride=2, shortcut="A").downsample, blocks.PadShortcut)


class Mine(nn.Module):
    """A block of public parts only."""

    expansion = 2
    preactivation = False

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            blocks.conv3x3(in_channels, width), blocks.average_pool(stride), blocks.conv1x1(width, 2 * width)
        )
        self.drop_path = blocks.DropPath(0.1)
        self.downsample = blocks.make_shortcut(in_channels, 2 * width, stride=stride, option="A")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.drop_path(self.branch(images)) + self.downsample(images)


def test_a_block_of_public_parts_makes_a_network() -> None:
    arch = Arch(name="mine", block="mine", depths=(1, 2), widths=(4, 8))
    with overlay("block", mine=Mine):
        model = build(arch, classes=3, image=ImageSpec(size=9))
    assert model(torch.rand(2, 3, 9, 9)).shape == (2, 3)
