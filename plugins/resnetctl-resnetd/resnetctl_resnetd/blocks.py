"""Residual blocks whose shortcut averages before it projects: ResNet-D of He et al. 2018, arXiv:1812.01187, fig. 2c.

A projection with stride 2 reads one pixel in four; after averaging it reads all four. The paper's other changes are not
in this package: resnetctl's own blocks already have the stride on the 3x3 convolution (ResNet-B), and the stem of three
3x3 convolutions (ResNet-C) would be part of the network, not of a block. Module names are timm's.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.blocks import DropPath, average_pool, conv1x1, conv3x3


class ResNetDBasicBlock(nn.Module):
    """Two 3x3 convolutions beside an average-pool shortcut.

    Maps `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`.

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: stride of the first convolution and of the shortcut's pool.
        dropout: probability that dropout zeroes a value before the last convolution.
        drop_path: probability that training drops the branch of an image.

    Raises:
        ValueError: `drop_path` is outside [0, 1), or `dropout` is outside [0, 1].
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "downsample.1": "downsample.2"}
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "downsample.2")

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.drop_path = DropPath(drop_path)
        self.downsample = average_shortcut(in_channels, width, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.dropout(self.relu(self.bn1(self.conv1(images))))
        branch = self.drop_path(self.bn2(self.conv2(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


class ResNetDBottleneckBlock(nn.Module):
    """1x1, 3x3, 1x1 convolutions, the stride on the 3x3, beside an average-pool shortcut.

    Arguments and errors as `ResNetDBasicBlock`; the output has `4 * width` channels.
    """

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {
        "conv1": "bn1",
        "conv2": "bn2",
        "conv3": "bn3",
        "downsample.1": "downsample.2",
    }
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "bn3", "downsample.2")

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        outer = width * self.expansion
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = conv1x1(width, outer)
        self.bn3 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.drop_path = DropPath(drop_path)
        self.downsample = average_shortcut(in_channels, outer, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.dropout(self.relu(self.bn2(self.conv2(branch))))
        branch = self.drop_path(self.bn3(self.conv3(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


def average_shortcut(in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    """Return average pool, 1x1 convolution and batch norm; an identity if the shape does not change.

    A window that reaches over the lower or right edge averages only the pixels inside the image.
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(average_pool(stride), conv1x1(in_channels, out_channels), nn.BatchNorm2d(out_channels))
