"""Shapes of every registered block; shortcuts, dropout and stochastic depth of the four built-in ones."""

import math

import pytest
import torch
from torch import nn

from resnetctl import registry
from resnetctl.models.blocks import (
    BasicBlock,
    BottleneckBlock,
    PreactBasicBlock,
    PreactBottleneckBlock,
)
from resnetctl.models.layers import restyle

BLOCKS = [BasicBlock, BottleneckBlock, PreactBasicBlock, PreactBottleneckBlock]


def test_the_registry_has_the_four_blocks() -> None:
    names = ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]
    assert [registry.get("block", name) for name in names] == BLOCKS


@pytest.mark.parametrize("name", registry.names("block"))
@pytest.mark.parametrize(("stride", "side"), [(1, 8), (2, 8), (2, 7), (2, 2), (1, 1)])
def test_the_output_has_the_shape_of_the_block_protocol(name: str, stride: int, side: int) -> None:
    block = registry.get("block", name)(6, 8, stride=stride)
    out = block(torch.randn(3, 6, side, side + 2))
    assert out.shape == (3, 8 * block.expansion, math.ceil(side / stride), math.ceil((side + 2) / stride))


@pytest.mark.parametrize("block", BLOCKS)
def test_both_shortcuts_give_one_shape_and_option_a_has_no_parameters(block: type[nn.Module]) -> None:
    images = torch.randn(2, 8, 6, 6)
    a, b = block(8, 16, stride=2, shortcut="A"), block(8, 16, stride=2, shortcut="B")
    assert a(images).shape == b(images).shape
    assert not [name for name in a.state_dict() if name.startswith("downsample")]
    assert [name for name in b.state_dict() if name.startswith("downsample")]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stride", [1, 2])
def test_an_unknown_shortcut_is_refused_even_if_the_shapes_are_equal(block: type[nn.Module], stride: int) -> None:
    with pytest.raises(ValueError, match="'A' or 'B', not 'C'"):
        block(8 * block.expansion, 8, stride=stride, shortcut="C")


@pytest.mark.parametrize("block", BLOCKS)
def test_rates_that_are_not_probabilities_are_refused(block: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="drop_path"):
        block(8, 8, drop_path=1.0)
    with pytest.raises(ValueError, match="dropout"):
        block(8, 8, dropout=1.5)


@pytest.mark.parametrize("block", BLOCKS)
def test_activation_and_norm_replace_those_of_every_layer(block: type[nn.Module]) -> None:
    unit = block(8, 8, stride=2)
    keys = [
        key for key in unit.state_dict() if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    restyle(unit, activation="silu", norm="group")
    kinds = {type(part) for part in unit.modules()}
    assert {nn.SiLU, nn.GroupNorm} <= kinds
    assert not {nn.ReLU, nn.BatchNorm2d} & kinds
    assert list(unit.state_dict()) == keys


def test_only_a_change_of_shape_gets_a_projection() -> None:
    assert isinstance(BasicBlock(8, 8).downsample, nn.Identity)
    assert isinstance(BottleneckBlock(32, 8).downsample, nn.Identity)
    assert isinstance(BottleneckBlock(8, 8).downsample, nn.Sequential)
    assert isinstance(PreactBasicBlock(8, 16).downsample, nn.Conv2d)


def test_option_a_cannot_drop_channels() -> None:
    with pytest.raises(ValueError, match="from 8 to 4 channels, use 'B'"):
        BasicBlock(8, 4, shortcut="A")


def test_the_stride_is_on_the_same_convolution_as_in_torchvision() -> None:
    assert BasicBlock(4, 4, stride=2).conv1.stride == (2, 2)
    for block in (BottleneckBlock(4, 4, stride=2), PreactBottleneckBlock(4, 4, stride=2)):
        assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


@pytest.mark.parametrize("block", [PreactBasicBlock, PreactBottleneckBlock])
def test_preactivation_adds_the_raw_input(block: type[nn.Module]) -> None:
    images = torch.randn(2, 8, 4, 4)
    unit = block(8, 8 // block.expansion).eval()
    last = unit.conv2 if block is PreactBasicBlock else unit.conv3
    nn.init.zeros_(last.weight)
    assert torch.equal(unit(images), images)


@pytest.mark.parametrize("block", [PreactBasicBlock, PreactBottleneckBlock])
def test_the_projection_of_a_preactivation_block_reads_the_activated_input(block: type[nn.Module]) -> None:
    images = -torch.rand(2, 8, 4, 4) - 0.1  # negative: the ReLU makes all of it zero
    unit = block(8, 8, stride=2).eval()
    assert torch.equal(unit(images), torch.zeros(2, 8 * block.expansion, 2, 2))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_input_is_not_changed(block: type[nn.Module]) -> None:
    images = torch.randn(2, 8, 4, 4)
    before = images.clone()
    block(8, 8)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("block", BLOCKS)
def test_dropout_acts_in_training_only(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 8, 4, 4)
    unit = block(8, 8, dropout=0.5).train()
    assert not torch.equal(unit(images), unit(images))
    unit.eval()
    assert torch.equal(unit(images), unit(images))


@pytest.mark.parametrize("block", BLOCKS)
def test_drop_path_leaves_the_shortcut_of_dropped_images(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 8, 3, 3)  # positive: a final ReLU changes nothing
    out = block(8, 8 // block.expansion, drop_path=0.5).train()(images)
    dropped = [bool(torch.equal(*pair)) for pair in zip(out, images, strict=True)]
    assert 16 < sum(dropped) < 48


def test_repr_shows_the_stride_and_the_rate() -> None:
    text = repr(BasicBlock(4, 8, stride=2, shortcut="A", drop_path=0.1))
    assert "PadShortcut(stride=2, padding=(2, 2))" in text
    assert "DropPath(rate=0.1)" in text
