"""Channels may go only where a trace proves that one chain of layers reads them."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl.compress.groups import Group, gap, groups, remove, strength
from resnetctl.models.blocks import BasicBlock, BottleneckBlock


class Chain(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: nn.Module, *, inner: int = 8) -> None:
        super().__init__()
        self.first, self.between, self.last = nn.Conv2d(4, inner, 3, padding=1), between, nn.Conv2d(inner, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.last(self.between(self.first(images)))  # type: ignore[no-any-return]


def depthwise(channels: int = 8) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


@pytest.mark.parametrize(
    ("between", "units"),
    [
        (nn.ReLU(), 8),
        (nn.Sequential(nn.BatchNorm2d(8), nn.SiLU(), depthwise(), nn.BatchNorm2d(8), nn.ReLU6()), 8),
        (nn.Conv2d(8, 8, 3, padding=1, groups=4), 4),
        (nn.Conv2d(8, 16, 1, groups=2), 2),
        (nn.Sequential(depthwise(), nn.Conv2d(8, 8, 1, groups=2)), 2),
    ],
)
def test_layers_that_keep_channels_apart_move_with_them(between: nn.Module, units: int) -> None:
    block = Chain(between)
    if units == 2 and isinstance(between, nn.Conv2d):
        block.last = nn.Conv2d(16, 4, 1)
    (group,) = groups(block.eval(), 4)
    assert (group.source, group.reader, group.units) == ("first", "last", units)
    assert gap(block, group, images=torch.randn(3, 4, 9, 7)) < 1e-5


@pytest.mark.parametrize(
    "between",
    [nn.Sigmoid(), nn.GroupNorm(2, 8), nn.LayerNorm([8, 8, 8]), nn.PReLU(8), nn.ChannelShuffle(2), nn.Softmax(1)],
    ids=lambda module: type(module).__name__,
)
def test_layers_that_mix_channels_or_move_zero_keep_them(between: nn.Module) -> None:
    assert groups(Chain(between).eval(), 4) == []


class Functional(Chain):
    """Calls functions instead of modules."""

    def forward(self, images: Tensor) -> Tensor:
        return images + self.last(F.relu(self.first(images)).relu())  # type: ignore[no-any-return]


class Reused(Chain):
    """Uses its first convolution twice."""

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(self.last(self.first(images))))  # type: ignore[no-any-return]


class Split(Chain):
    """Splits the channels of its first convolution."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = self.first(images).chunk(2, 1)
        return self.last(torch.cat((right, left), 1))  # type: ignore[no-any-return]


class Branching(Chain):
    """Cannot be traced: its way depends on the data."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) if images.sum() > 0 else super().forward(images + 1)


class Declaring(Branching):
    """Names its chain."""

    prunable: ClassVar[dict[str, tuple[str, ...]]] = {"first": ("between", "last")}

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


class Picky(Declaring):
    """Checks its inner channels itself."""

    prunable: ClassVar[dict[str, tuple[str, ...]]] = {"first": ("between", "last")}

    def forward(self, images: Tensor) -> Tensor:
        if self.first(images).shape[1] != 8:
            raise ValueError("eight channels, please")
        return super().forward(images)


class Large(Declaring):
    """Needs larger images than those of the proof."""

    prunable: ClassVar[dict[str, tuple[str, ...]]] = {"first": ("between", "last")}

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(F.conv2d(images, torch.ones(4, 1, 9, 9), groups=4))


def test_functions_count_as_modules_do() -> None:
    assert [group.source for group in groups(Functional(nn.Identity()).eval(), 4)] == ["first"]


@pytest.mark.parametrize("block", [Reused, Split, Branching, Picky, Large])
def test_what_cannot_be_proved_stays(block: type[Chain]) -> None:
    assert groups(block(nn.Identity()).eval(), 4) == []


def test_a_block_that_cannot_be_traced_may_name_its_chains() -> None:
    assert [group.source for group in groups(Declaring(nn.ReLU()).eval(), 4)] == ["first"]


def test_a_layer_with_a_computed_weight_stays() -> None:
    block = Chain(nn.ReLU())
    nn.utils.parametrizations.weight_norm(block.first)
    assert groups(block.eval(), 4) == []


def test_both_inner_widths_of_a_bottleneck_go_at_once() -> None:
    block = BottleneckBlock(64, 16).eval()
    features = torch.randn(2, 64, 8, 8)
    first, second = groups(block, 64)
    for group in (first, second):
        remove(block, group, kept=torch.arange(8))
    assert (block.conv1.out_channels, block.conv2.in_channels, block.conv2.out_channels) == (8, 8, 8)
    assert block(features).shape == (2, 64, 8, 8)


def test_a_wrong_group_is_seen_by_its_gap() -> None:
    block = BasicBlock(8, 8).eval()
    wrong = Group(source="conv1", between=(), reader="conv2", units=8)  # forgets the norm
    assert gap(block, wrong, images=torch.randn(2, 8, 8, 8)) == float("inf")


def test_the_strength_of_a_unit_is_the_norm_of_all_its_weights() -> None:
    block = Chain(nn.ReLU())
    with torch.no_grad():
        block.first.weight[3] = 0
        block.last.weight[:, 3] = 0
    (group,) = groups(block.eval(), 4)
    values = strength(block, group)
    assert values.argmin() == 3
    assert values[3] == 0
    wanted = block.first.weight[0].square().sum() + block.last.weight[:, 0].square().sum()
    assert values[0] == pytest.approx(wanted.sqrt().item())
