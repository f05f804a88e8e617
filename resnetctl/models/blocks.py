"""The four residual blocks: He et al. 2015 (arXiv:1512.03385) and 2016 (pre-activation, arXiv:1603.05027).

All map `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))` and own their
shortcut, `downsample`. Module names are torchvision's, so its state dicts load without renaming. `dropout` sits
before the last convolution, where Zagoruyko and Komodakis 2016 (arXiv:1605.07146, fig. 1d) put it; `drop_path` drops
the residual branch of whole images (Huang et al. 2016, arXiv:1603.09382). `model.activation` and `model.norm` replace
the layers that `activations` and `norms` name.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.models.layers import DropPath, conv1x1, conv3x3
from resnetctl.models.shortcuts import make_shortcut, preact_sum


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, fig. 5 left).

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: stride of the first convolution and of the shortcut.
        shortcut: used if input and output shapes differ: `A` pads with zeros, `B` projects by a 1x1 convolution with
            batch norm.
        dropout: probability that dropout zeroes a value before the second convolution.
        drop_path: probability that training drops the branch of an image.

    Raises:
        ValueError: `shortcut` is neither `A` nor `B`, `drop_path` is outside [0, 1), or `dropout` is outside [0, 1].
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "downsample.0": "downsample.1"}
    branch_end: ClassVar[str] = "bn2"
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "downsample.1")

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: str = "B",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.drop_path = DropPath(drop_path)
        self.downsample = make_shortcut(in_channels, width, stride=stride, option=shortcut)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.dropout(self.relu(self.bn1(self.conv1(images))))
        # no ReLU before the sum: the branch must be able to lower a value as well as raise it
        branch = self.drop_path(self.bn2(self.conv2(branch)))
        # the branch learns only the change to its input, so a zero branch already passes the input on
        branch += self.downsample(images)  # in place, into the norm's output: saves a tensor
        return cast(Tensor, self.relu(branch))


class BottleneckBlock(nn.Module):
    """1x1, 3x3, 1x1 convolutions (He et al. 2015, fig. 5 right), with the stride on the 3x3 as in torchvision.

    Arguments and errors as `BasicBlock`, but the output has `4 * width` channels, and dropout is before the last
    convolution.
    """

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {
        "conv1": "bn1",
        "conv2": "bn2",
        "conv3": "bn3",
        "downsample.0": "downsample.1",
    }
    branch_end: ClassVar[str] = "bn3"
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "bn3", "downsample.1")

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: str = "B",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.drop_path = DropPath(drop_path)
        self.downsample = make_shortcut(in_channels, width * self.expansion, stride=stride, option=shortcut)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))  # 1x1: fewer channels, so the 3x3 is cheap
        branch = self.dropout(self.relu(self.bn2(self.conv2(branch))))
        branch = self.drop_path(self.bn3(self.conv3(branch)))  # 1x1: back to 4 * width channels
        branch += self.downsample(images)  # in place, into the norm's output: saves a tensor
        return cast(Tensor, self.relu(branch))


class PreactBasicBlock(nn.Module):
    """Norm and ReLU before each of two 3x3 convolutions (He et al. 2016, fig. 4e); also the wide ResNet's block.

    Arguments and errors as `BasicBlock`. A projection shortcut reads the activated input and has no norm.
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = True
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn2"}
    branch_end: ClassVar[str] = "conv2"
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2")

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: str = "B",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = conv3x3(in_channels, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(width, width)
        self.drop_path = DropPath(drop_path)
        self.downsample = make_shortcut(in_channels, width, stride=stride, option=shortcut, norm=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        active = self.relu(self.bn1(images))
        branch = self.dropout(self.relu(self.bn2(self.conv1(active))))
        # no norm or ReLU after the sum: the identity shortcuts carry the raw input through all blocks of a stage
        branch = self.drop_path(self.conv2(branch))
        return preact_sum(branch, images=images, active=active, downsample=self.downsample)


class PreactBottleneckBlock(nn.Module):
    """Norm and ReLU before each of 1x1, 3x3, 1x1 convolutions (He et al. 2016), with the stride on the 3x3.

    Arguments and errors as `BasicBlock`, but the output has `4 * width` channels, and dropout is before the last
    convolution. A projection shortcut reads the activated input and has no norm.
    """

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = True
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn2", "conv2": "bn3"}
    branch_end: ClassVar[str] = "conv3"
    activations: ClassVar[tuple[str, ...]] = ("relu",)
    norms: ClassVar[tuple[str, ...]] = ("bn1", "bn2", "bn3")

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: str = "B",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = conv1x1(in_channels, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn3 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.drop_path = DropPath(drop_path)
        self.downsample = make_shortcut(in_channels, width * self.expansion, stride=stride, option=shortcut, norm=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
        active = self.relu(self.bn1(images))
        branch = self.relu(self.bn2(self.conv1(active)))
        branch = self.dropout(self.relu(self.bn3(self.conv2(branch))))
        branch = self.drop_path(self.conv3(branch))
        return preact_sum(branch, images=images, active=active, downsample=self.downsample)
