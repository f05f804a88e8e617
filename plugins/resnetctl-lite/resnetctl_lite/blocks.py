"""Residual blocks of depthwise and pointwise convolutions.

All map `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`. A 3x3 convolution from C to C
channels has 9 C^2 weights; a depthwise 3x3 and a pointwise 1x1 together have 9 C + C^2.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.blocks import DropPath, PadShortcut, average_pool, conv1x1


class SeparableBlock(nn.Module):
    """The basic block (He et al. 2015) with depthwise-separable convolutions (Chollet 2016, arXiv:1610.02357).

    A new block computes the identity, because its last norm has scale zero (Goyal et al. 2017, section 5.1,
    arXiv:1706.02677): otherwise a deep net hardly starts to learn at the usual learning rates.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: stride of the first depthwise convolution and of the shortcut.
        shortcut: used if the shapes differ, after averaging: `A` pads with zeros, `B` projects with batch norm.
        drop_path: probability that training drops the branch of an image.

    Raises:
        ValueError: `shortcut` is neither `A` nor `B`, or `drop_path` is outside [0, 1).
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {
        "conv1.0": "conv1.1",
        "conv1.2": "bn1",
        "conv2.0": "conv2.1",
        "conv2.2": "bn2",
        "downsample.1": "downsample.2",
    }
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("conv1.1", "bn1", "conv2.1", "bn2", "downsample.2")

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, shortcut: str = "B", drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = _separable(in_channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _separable(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)
        self.drop_path = DropPath(drop_path)
        self.downsample = _shortcut(shortcut, in_channels, out_channels=width, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.drop_path(self.bn2(self.conv2(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


class InvertedBottleneckBlock(nn.Module):
    """1x1 to more channels, depthwise 3x3, 1x1 to `width` (Sandler et al. 2018, arXiv:1801.04381, fig. 3b).

    No ReLU follows the sum: with few channels it would lose information (section 3.2). Unlike in the paper, blocks that
    change the shape have a shortcut, too.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: stride of the depthwise convolution and of the shortcut.
        expand: the depthwise convolution has `expand * in_channels` channels; at least 1.
        shortcut: as in `SeparableBlock`.
        drop_path: probability that training drops the branch of an image.

    Raises:
        ValueError: `expand` is below 1, `shortcut` is neither `A` nor `B`, or `drop_path` is outside [0, 1).
    """

    expansion: ClassVar[int] = 1
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
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        expand: int = 4,
        shortcut: str = "B",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if expand < 1:
            raise ValueError(f"expand must be at least 1, not {expand}")
        inner = in_channels * expand
        self.conv1 = conv1x1(in_channels, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _depthwise(inner, stride)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, width)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU6(inplace=True)
        self.drop_path = DropPath(drop_path)
        self.downsample = _shortcut(shortcut, in_channels, out_channels=width, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.drop_path(self.bn3(self.conv3(branch)))
        return cast(Tensor, branch + self.downsample(images))


def _shortcut(option: str, in_channels: int, *, out_channels: int, stride: int) -> nn.Module:
    if option not in ("A", "B"):
        raise ValueError(f"shortcut must be 'A' or 'B', not {option!r}")
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if option == "A":
        return nn.Sequential(average_pool(stride), PadShortcut(in_channels, out_channels, 1))
    return nn.Sequential(average_pool(stride), conv1x1(in_channels, out_channels), nn.BatchNorm2d(out_channels))


def _separable(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Return depthwise convolution, norm, pointwise convolution.

    There is no ReLU between the convolutions: Chollet measured better results without (2016, section 4.7).
    """
    return nn.Sequential(
        _depthwise(in_channels, stride), nn.BatchNorm2d(in_channels), conv1x1(in_channels, out_channels)
    )


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
