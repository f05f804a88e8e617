"""The values that small layers compute, and when they change nothing."""

from typing import get_args

import pytest
import torch
from torch import nn

from resnetctl.models.layers import (
    ACTIVATIONS,
    DropPath,
    average_pool,
    conv1x1,
    conv3x3,
    make_activation,
    make_norm,
    norm_groups,
    restyle,
)
from resnetctl.spec import Activation


def test_drop_path_keeps_the_mean_and_follows_the_seed() -> None:
    branch = torch.ones(20_000, 1, 1, 1)
    drop = DropPath(0.25).train()
    torch.manual_seed(1)
    first = drop(branch)
    torch.manual_seed(1)
    assert torch.equal(drop(branch), first)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert first.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_drop_path_draws_nothing_in_evaluation_and_at_rate_zero(rate: float) -> None:
    branch = torch.randn(2, 3, 1, 1)
    state = torch.get_rng_state()
    assert DropPath(rate).train(rate == 0)(branch) is branch
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_the_interval_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="must be at least 0 and below 1"):
        DropPath(rate)


@pytest.mark.parametrize("layer", [conv3x3, conv1x1])
@pytest.mark.parametrize(("stride", "side", "expected"), [(1, 7, 7), (2, 7, 4), (2, 8, 4)])
def test_convolutions_have_no_bias_and_round_up(layer: type[nn.Module], stride: int, side: int, expected: int) -> None:
    convolution = layer(3, 5, stride=stride)
    assert convolution.bias is None
    assert convolution(torch.zeros(2, 3, side, side)).shape == (2, 5, expected, expected)


def test_average_pool_rounds_up_and_averages_only_pixels_inside_the_image() -> None:
    images = torch.arange(9.0).view(1, 1, 3, 3)
    assert average_pool(2)(images).flatten().tolist() == [2.0, 3.5, 6.5, 8.0]
    assert average_pool(1)(images) is images


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (7, 1), (8, 2), (13, 1), (16, 4), (36, 9), (64, 16), (128, 32), (160, 32), (2048, 32)],
)
def test_groups_divide_the_channels_and_have_at_least_four(channels: int, groups: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == norm_groups(channels) == groups
    assert channels % groups == 0


def test_every_name_of_the_config_is_an_activation_and_others_are_refused() -> None:
    assert tuple(ACTIVATIONS) == get_args(Activation)
    with pytest.raises(ValueError, match=r"activation must be one of relu, .*, not 'swish'"):
        make_activation("swish")
    with pytest.raises(ValueError, match="norm must be batch or group, not 'layer'"):
        make_norm("layer", 8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_changes_what_its_backward_pass_needs(name: str) -> None:
    images = torch.randn(4, 3, requires_grad=True)
    make_activation(name)(images * 1.0).sum().backward()
    after_copy = torch.autograd.grad(make_activation(name)((images * 1.0).clone()).sum(), images)[0]
    assert images.grad is not None
    assert torch.equal(images.grad, after_copy)


def test_a_new_norm_begins_with_the_scale_of_the_old_one() -> None:
    class Ends(nn.Sequential):
        norms = ("0", "1", "absent")

    block = Ends(nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False))
    nn.init.zeros_(block[0].weight)
    restyle(block, norm="group")
    assert [type(part) for part in block] == [nn.GroupNorm, nn.GroupNorm]
    assert not block[0].weight.any()
    assert block[1].weight.eq(1).all()
