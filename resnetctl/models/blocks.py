"""The four residual blocks: He et al. 2015 (arXiv:1512.03385) and 2016 (pre-activation, arXiv:1603.05027).

All map `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))` and own their
shortcut, `downsample`. Module names are torchvision's, so its state dicts load without renaming. `dropout` sits
before the last convolution, where Zagoruyko and Komodakis 2016 (arXiv:1605.07146, fig. 1d) put it; `drop_path` drops
the residual branch of whole images (Huang et al. 2016, arXiv:1603.09382).
"""

from typing import ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn


class PadShortcut(nn.Module):
    """Option A: no parameters. Keeps every `stride`-th pixel and puts the new, zero channels half on each side.

    Bit-equal to `x[:, :, ::stride, ::stride]` padded; pooling with a 1x1 window keeps channels-last strides and
    exports to one ONNX node with a dynamic batch.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        growth = out_channels - in_channels
        if growth < 0:
            raise ValueError(f"shortcut 'A' cannot go from {in_channels} to {out_channels} channels, use 'B'")
        self.stride = stride
        self.padding = (growth // 2, growth - growth // 2)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, in, H, W)` to `(N, out, ceil(H / stride), ceil(W / stride))`."""
        if self.stride > 1:
            images = F.avg_pool2d(images, kernel_size=1, stride=self.stride)
        return F.pad(images, (0, 0, 0, 0, *self.padding))

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"stride={self.stride}, padding={self.padding}"


class DropPath(nn.Module):
    """Stochastic depth: in training, zero the branch of each image with probability `rate` and rescale the rest.

    Draws from torch's global generator of the device. At `rate` 0 or in evaluation it is the identity.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop_path {rate} must be at least 0 and below 1")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """`(N, C, H, W)` to the same shape."""
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty((branch.shape[0], 1, 1, 1)).bernoulli_(1 - self.rate)
        return branch * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"rate={self.rate}"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, fig. 5 left).

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: of the first convolution and of the shortcut.
        shortcut: where shapes differ, `A` pads with zeros, `B` projects by a 1x1 convolution with batch norm.
        dropout: probability before the second convolution.
        drop_path: probability of dropping the branch of an image.

    Raises:
        ValueError: `shortcut` is neither, or a probability is outside [0, 1).
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False

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
        self.downsample = _shortcut(shortcut, in_channels, width, stride)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        branch = self.dropout(self.relu(self.bn1(self.conv1(images))))
        branch = self.drop_path(self.bn2(self.conv2(branch)))
        branch += self.downsample(images)  # in the norm's own output: no other tensor is made
        return cast(Tensor, self.relu(branch))


class BottleneckBlock(nn.Module):
    """1x1, 3x3, 1x1 convolutions (He et al. 2015, fig. 5 right), the stride on the 3x3 as in torchvision.

    Arguments and errors as `BasicBlock`; the output has `4 * width` channels and dropout precedes the last
    convolution.
    """

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = False

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
        self.downsample = _shortcut(shortcut, in_channels, width * self.expansion, stride)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.dropout(self.relu(self.bn2(self.conv2(branch))))
        branch = self.drop_path(self.bn3(self.conv3(branch)))
        branch += self.downsample(images)  # in the norm's own output: no other tensor is made
        return cast(Tensor, self.relu(branch))


class PreactBasicBlock(nn.Module):
    """Norm and ReLU before each of two 3x3 convolutions (He et al. 2016, fig. 4e); also the wide ResNet's block.

    Arguments and errors as `BasicBlock`. A projecting shortcut reads the activated input and has no norm.
    """

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = True

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
        self.downsample = _shortcut(shortcut, in_channels, width, stride, norm=False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        active = self.relu(self.bn1(images))
        branch = self.dropout(self.relu(self.bn2(self.conv1(active))))
        branch = self.drop_path(self.conv2(branch))
        return _preact_sum(images, active, branch, self.downsample)


class PreactBottleneckBlock(nn.Module):
    """Norm and ReLU before each of 1x1, 3x3, 1x1 convolutions (He et al. 2016), the stride on the 3x3.

    Arguments and errors as `BasicBlock`; the output has `4 * width` channels and dropout precedes the last
    convolution. A projecting shortcut reads the activated input and has no norm.
    """

    expansion: ClassVar[int] = 4
    preactivation: ClassVar[bool] = True

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
        self.downsample = _shortcut(shortcut, in_channels, width * self.expansion, stride, norm=False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        active = self.relu(self.bn1(images))
        branch = self.relu(self.bn2(self.conv1(active)))
        branch = self.dropout(self.relu(self.bn3(self.conv2(branch))))
        branch = self.drop_path(self.conv3(branch))
        return _preact_sum(images, active, branch, self.downsample)


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """3x3 with padding 1 and no bias (a norm follows): `H` to `ceil(H / stride)`."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """1x1 without bias: `H` to `ceil(H / stride)`."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


def _shortcut(option: str, in_channels: int, out_channels: int, stride: int, *, norm: bool = True) -> nn.Module:
    """Identity where the input can be added as it is. Raises `ValueError` for an unknown option, needed or not."""
    if option not in ("A", "B"):
        raise ValueError(f"shortcut must be 'A' or 'B', not {option!r}")
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if option == "A":
        return PadShortcut(in_channels, out_channels, stride)
    projection = conv1x1(in_channels, out_channels, stride=stride)
    return nn.Sequential(projection, nn.BatchNorm2d(out_channels)) if norm else projection


def _preact_sum(images: Tensor, active: Tensor, branch: Tensor, downsample: nn.Module) -> Tensor:
    """He et al. 2016: the identity carries the raw input, everything else reads the activated one."""
    shortcut: Tensor = images if isinstance(downsample, nn.Identity) else downsample(active)
    return branch + shortcut
