"""The gates equal slow references, written from the papers' equations."""

import math

import pytest
import torch
from resnetctl_attention.blocks import CBAMBasicBlock, ECABasicBlock, SEBasicBlock, SEBottleneckBlock
from resnetctl_attention.gates import ConvBlockAttention, EfficientChannelAttention, SqueezeExcite, adaptive_kernel
from torch.nn import functional as F


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_squeeze_excite_equals_equations_2_to_4() -> None:
    gate = SqueezeExcite(8, 4)
    images = torch.randn(2, 8, 3, 5)
    squeezed = images.flatten(2).sum(2) / 15
    hidden = (squeezed @ gate.squeeze.weight.T + gate.squeeze.bias).clamp(min=0)
    scale = 1 / (1 + torch.exp(-(hidden @ gate.excite.weight.T + gate.excite.bias)))
    torch.testing.assert_close(gate(images), torch.einsum("nchw,nc->nchw", images, scale))


def test_efficient_attention_reads_the_neighbouring_channels() -> None:
    gate = EfficientChannelAttention(6, 3)
    images = torch.randn(1, 6, 4, 4)
    means = [0.0, *images.mean((2, 3))[0].tolist(), 0.0]
    weights = gate.conv.weight.flatten().tolist()
    expected = [sigmoid(sum(w * means[channel + k] for k, w in enumerate(weights))) for channel in range(6)]
    torch.testing.assert_close(gate(images)[0], images[0] * torch.tensor(expected).view(6, 1, 1))


def test_cbam_equals_equations_2_and_3() -> None:
    gate = ConvBlockAttention(8, reduction=4, kernel=3)
    images = torch.randn(2, 8, 5, 4)
    average, largest = F.adaptive_avg_pool2d(images, 1), F.adaptive_max_pool2d(images, 1)
    channel = torch.sigmoid(gate.mlp(average.flatten(1)) + gate.mlp(largest.flatten(1)))
    refined = images * channel[:, :, None, None]
    maps = torch.stack((refined.sum(1) / 8, refined.max(1).values), 1)
    expected = refined * torch.sigmoid(F.conv2d(maps, gate.conv.weight, padding=1))
    torch.testing.assert_close(gate(images), expected)


@pytest.mark.parametrize(
    "gate",
    [SqueezeExcite(16, 16), EfficientChannelAttention(16, 0), ConvBlockAttention(16, reduction=16, kernel=7)],
    ids=lambda gate: type(gate).__name__,
)
def test_gates_shrink_values_and_keep_their_signs(gate: torch.nn.Module) -> None:
    images = torch.randn(4, 16, 6, 6)
    out = gate(images)
    assert (out.abs() <= images.abs()).all()
    assert (out * images >= 0).all()
    assert not torch.equal(out, images)


@pytest.mark.parametrize(("channels", "kernel"), [(1, 1), (16, 3), (32, 3), (64, 3), (256, 5), (512, 5), (2048, 7)])
def test_the_kernel_grows_with_the_logarithm_of_the_width(channels: int, kernel: int) -> None:
    assert adaptive_kernel(channels) == kernel


def test_the_hidden_layer_has_one_unit_for_reduction_output_channels() -> None:
    assert SEBasicBlock(16, 64).attention.squeeze.out_features == 4
    assert SEBottleneckBlock(16, 64).attention.squeeze.out_features == 16
    assert SEBasicBlock(4, 8).attention.squeeze.out_features == 1


def test_the_single_hidden_unit_learns_after_a_norm() -> None:
    """Its bias is zero and the batch's channel means sum to 0, so some image passes the ReLU with any weights."""
    for seed in range(20):
        torch.manual_seed(seed)
        gate = SqueezeExcite(16, 16)
        normed = F.batch_norm(torch.randn(4, 16, 8, 8), None, None, training=True)
        gate(normed).sum().backward()
        assert gate.squeeze.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SEBasicBlock(8, 8, reduction=0), "reduction must be at least 1, not 0"),
        (lambda: ECABasicBlock(8, 8, kernel=4), "kernel must be odd and positive, not 4"),
        (lambda: ECABasicBlock(8, 8, kernel=-1), "kernel must be odd and positive, not -1"),
        (lambda: CBAMBasicBlock(8, 8, kernel=0), "kernel must be odd and positive, not 0"),
        (lambda: SEBasicBlock(8, 8, shortcut="C"), "shortcut must be 'A' or 'B', not 'C'"),
        (lambda: SEBasicBlock(8, 4, shortcut="A"), "cannot go from 8 to 4 channels, use 'B'"),
    ],
)
def test_wrong_options_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_the_padding_shortcut_equals_slicing_and_padding_bit_for_bit() -> None:
    images = torch.randn(2, 4, 7, 5)
    shortcut = SEBasicBlock(4, 9, stride=2, shortcut="A").downsample
    assert torch.equal(shortcut(images), F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3)))
    assert not shortcut.state_dict()


def test_parameter_names_are_torchvisions_except_for_attention() -> None:
    from torchvision.models import resnet18

    for number in (1, 2):
        plain = resnet18().get_submodule(f"layer{number}.0")
        ours = SEBasicBlock(64, 64 * number, stride=number)
        names = {name for name in ours.state_dict() if not name.startswith("attention.")}
        assert names == set(plain.state_dict())
