"""The residual block `blurpool`."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnetctl.blocks import conv1x1, conv3x3


class Blur(nn.Module):
    """Smooth by [1, 2, 1] / 4 in both directions, then keep every `stride`-th pixel (Zhang 2019, section 3.2)."""

    kernel: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", (line[:, None] * line).repeat(channels, 1, 1, 1), persistent=False)
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, C, ceil(H / stride), ceil(W / stride))`."""
        return F.conv2d(images, self.kernel, stride=self.stride, padding=1, groups=len(self.kernel))


class BlurpoolBlock(nn.Module):
    """A basic block (He et al. 2015) that blurs before it drops pixels (Zhang 2019, arXiv:1904.11486).

    Args:
        in_channels: channels of the input.
        width: channels of the convolutions and of the output.
        stride: 2 halves the image.
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "downsample.1": "downsample.2"}

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.blur = Blur(width, stride) if stride > 1 else nn.Identity()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != width:
            self.downsample = nn.Sequential(
                Blur(in_channels, stride) if stride > 1 else nn.Identity(),
                conv1x1(in_channels, width),
                nn.BatchNorm2d(width),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`."""
        branch = self.blur(self.relu(self.bn1(self.conv1(images))))
        branch = self.bn2(self.conv2(branch))
        return self.relu(branch + self.downsample(images))
