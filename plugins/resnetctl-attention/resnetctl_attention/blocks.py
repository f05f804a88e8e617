"""Basic and bottleneck blocks with attention on the residual branch, after its last norm.

All map `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`. All parameters but
those of `attention` have torchvision's names, so they can be loaded from a plain network.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.blocks import conv1x1, conv3x3, make_shortcut
from resnetctl_attention.gates import ConvBlockAttention, EfficientChannelAttention, SqueezeExcite


class _Basic(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, fig. 5 left), then `attention`."""

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "downsample.0": "downsample.1"}
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "downsample.1")

    def __init__(self, in_channels: int, width: int, *, stride: int, shortcut: str, attention: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.attention = attention
        self.downsample = make_shortcut(in_channels, width, stride=stride, option=shortcut)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.attention(self.bn2(self.conv2(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions (He et al. 2015, fig. 5 right), the stride on the 3x3, then `attention`."""

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {
        "conv1": "bn1",
        "conv2": "bn2",
        "conv3": "bn3",
        "downsample.0": "downsample.1",
    }
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "bn3", "downsample.1")

    def __init__(self, in_channels: int, width: int, *, stride: int, shortcut: str, attention: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, width * 4)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.attention = attention
        self.downsample = make_shortcut(in_channels, width * 4, stride=stride, option=shortcut)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.attention(self.bn3(self.conv3(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


class SEBasicBlock(_Basic):
    """A basic block with squeeze-and-excitation (Hu et al. 2017, arXiv:1709.01507).

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: stride of the first convolution and of the shortcut.
        reduction: channels for each hidden unit of the attention.
        shortcut: used if the shapes differ: `A` pads with zeros, `B` projects by a 1x1 convolution with batch norm.

    Raises:
        ValueError: `reduction` is below 1, or `shortcut` is neither `A` nor `B`.
    """

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, reduction: int = 16, shortcut: str = "B"
    ) -> None:
        attention = SqueezeExcite(width, reduction)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)


class SEBottleneckBlock(_Bottleneck):
    """A bottleneck block with squeeze-and-excitation over its `4 * width` channels. Arguments as `SEBasicBlock`."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, reduction: int = 16, shortcut: str = "B"
    ) -> None:
        attention = SqueezeExcite(width * self.expansion, reduction)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)


class ECABasicBlock(_Basic):
    """A basic block with efficient channel attention (Wang et al. 2019, arXiv:1910.03151).

    Arguments as `SEBasicBlock`, but `kernel` replaces `reduction`: the odd number of channels that each gate reads, or
    0 to compute it from the width. An even or negative number is a `ValueError`.
    """

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, kernel: int = 0, shortcut: str = "B") -> None:
        attention = EfficientChannelAttention(width, kernel)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)


class ECABottleneckBlock(_Bottleneck):
    """A bottleneck block with efficient channel attention over its `4 * width` channels. As `ECABasicBlock`."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, kernel: int = 0, shortcut: str = "B") -> None:
        attention = EfficientChannelAttention(width * self.expansion, kernel)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)


class CBAMBasicBlock(_Basic):
    """A basic block with channel and spatial attention (Woo et al. 2018, arXiv:1807.06521).

    Arguments as `SEBasicBlock`, and `kernel`, the odd side of the spatial convolution; an even one is a `ValueError`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        reduction: int = 16,
        kernel: int = 7,
        shortcut: str = "B",
    ) -> None:
        attention = ConvBlockAttention(width, reduction=reduction, kernel=kernel)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)


class CBAMBottleneckBlock(_Bottleneck):
    """A bottleneck block with channel and spatial attention over its `4 * width` channels. As `CBAMBasicBlock`."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        reduction: int = 16,
        kernel: int = 7,
        shortcut: str = "B",
    ) -> None:
        attention = ConvBlockAttention(width * self.expansion, reduction=reduction, kernel=kernel)
        super().__init__(in_channels, width, stride=stride, shortcut=shortcut, attention=attention)
