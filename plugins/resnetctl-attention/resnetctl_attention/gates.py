"""The three attention modules. Each multiplies its input `(N, C, H, W)` by gates in 0..1.

Their linear and 1-d layers keep torch's default initialisation; resnetctl initialises only 2-d convolutions.
"""

import math

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """One gate for each channel, from the channel means, by a two-layer net (Hu et al. 2017, eq. 2-4).

    Args:
        channels: `C` of the input.
        reduction: the hidden layer has `channels // reduction` units, at least 1.

    Raises:
        ValueError: `reduction` is below 1.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = hidden_units(channels, reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.relu = nn.ReLU()
        self.excite = nn.Linear(hidden, channels)
        # After a batch norm the channel means of a batch sum to 0, so without a bias some images pass the ReLU. With
        # torch's random bias, the single hidden unit of 16 channels often passes none and never learns.
        nn.init.zeros_(self.squeeze.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images times their gates, `(N, C, H, W)`."""
        gates: Tensor = self.excite(self.relu(self.squeeze(images.mean((2, 3))))).sigmoid()
        return images * gates[:, :, None, None]


class EfficientChannelAttention(nn.Module):
    """One gate for each channel, from the means of neighbouring channels, by a 1-d convolution (Wang et al. 2019, 3.2).

    Args:
        channels: `C` of the input.
        kernel: number of channels that each gate reads, odd; 0 computes it from `channels` (`adaptive_kernel`).

    Raises:
        ValueError: `kernel` is even or negative.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = odd(kernel) if kernel else adaptive_kernel(channels)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images times their gates, `(N, C, H, W)`."""
        gates: Tensor = self.conv(images.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
        return images * gates[:, :, None, None]


class ConvBlockAttention(nn.Module):
    """One gate for each channel, then one for each pixel, from means and maxima (Woo et al. 2018, eq. 2 and 3).

    As in the equations, there are no biases, and no norm follows the convolution.

    Args:
        channels: `C` of the input.
        reduction: reduction of the shared two-layer net, see `SqueezeExcite`.
        kernel: side of the convolution over the two pooled maps, odd.

    Raises:
        ValueError: `reduction` is below 1, `kernel` is even or below 1.
    """

    def __init__(self, channels: int, *, reduction: int, kernel: int) -> None:
        super().__init__()
        hidden = hidden_units(channels, reduction)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.conv = nn.Conv2d(2, 1, odd(kernel), padding=kernel // 2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images times their gates, `(N, C, H, W)`."""
        gates = (self.mlp(images.mean((2, 3))) + self.mlp(images.amax((2, 3)))).sigmoid()
        images = images * gates[:, :, None, None]
        pooled = torch.cat((images.mean(1, keepdim=True), images.amax(1, keepdim=True)), 1)
        pixel_gates: Tensor = self.conv(pooled).sigmoid()
        return images * pixel_gates


def adaptive_kernel(channels: int) -> int:
    """Return `(log2(channels) + 1) / 2`, cut to an integer, plus 1 if that is even, as in Wang et al.'s code."""
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def hidden_units(channels: int, reduction: int) -> int:
    """Return the units of the hidden layer, at least 1. Raises `ValueError` for a `reduction` below 1."""
    if reduction < 1:
        raise ValueError(f"reduction must be at least 1, not {reduction}")
    return max(1, channels // reduction)


def odd(kernel: int) -> int:
    """Return `kernel`. Raises `ValueError` unless it is odd and positive: only then the output has the input's size."""
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel must be odd and positive, not {kernel}")
    return kernel
