"""Option A equals slicing and padding; the shapes decide which shortcut a block gets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from resnetctl.models.shortcuts import PadShortcut, make_shortcut, preact_sum


@given(
    channels=st.integers(1, 5), growth=st.integers(0, 5), height=st.integers(1, 9), width=st.integers(1, 9),
    stride=st.sampled_from([1, 2, 3]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_option_a_equals_slicing_and_padding_bit_for_bit(
    channels: int, growth: int, height: int, width: int, stride: int
) -> None:
    images = torch.randn(2, channels, height, width)
    before = growth // 2
    expected = F.pad(images[:, :, ::stride, ::stride], (0, 0, 0, 0, before, growth - before))
    assert torch.equal(PadShortcut(channels, channels + growth, stride)(images), expected)


def test_option_a_keeps_channels_last_and_gradients() -> None:
    images = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last).requires_grad_()
    out = PadShortcut(8, 16, 2)(images)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert images.grad is not None
    assert images.grad.sum() == 2 * 8 * 3 * 3


@pytest.mark.parametrize(
    ("shape", "arguments", "kinds"),
    [
        ((8, 8, 1), {}, [nn.Identity]),
        ((8, 8, 1), {"option": "A"}, [nn.Identity]),
        ((8, 8, 2), {"option": "A"}, [PadShortcut]),
        ((8, 16, 1), {}, [nn.Conv2d, nn.BatchNorm2d]),
        ((8, 16, 2), {"norm": False}, [nn.Conv2d]),
    ],
)
def test_the_shapes_and_the_option_decide_the_shortcut(
    shape: tuple[int, int, int], arguments: dict[str, object], kinds: list[type]
) -> None:
    in_channels, out_channels, stride = shape
    shortcut = make_shortcut(in_channels, out_channels, stride=stride, **arguments)  # type: ignore[arg-type]
    parts = list(shortcut) if isinstance(shortcut, nn.Sequential) else [shortcut]
    assert [type(part) for part in parts] == kinds
    side = -(-7 // stride)
    assert shortcut(torch.randn(2, in_channels, 7, 7)).shape == (2, out_channels, side, side)


@pytest.mark.parametrize("shape", [(8, 8), (8, 16)])
def test_an_unknown_option_is_refused_even_if_the_shapes_are_equal(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="'A' or 'B', not 'C'"):
        make_shortcut(*shape, option="C")


def test_preact_sum_adds_the_raw_input_for_an_identity_and_the_activated_input_otherwise() -> None:
    raw, active, branch = torch.tensor(-1.0), torch.tensor(0.0), torch.tensor(5.0)
    assert preact_sum(branch, images=raw, active=active, downsample=nn.Identity()) == 4
    assert preact_sum(branch, images=raw, active=active, downsample=nn.Flatten(0)) == 5
