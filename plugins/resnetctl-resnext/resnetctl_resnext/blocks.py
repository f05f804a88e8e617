"""The grouped bottleneck of ResNeXt: Xie et al. 2016, arXiv:1611.05431, fig. 3c.

Module names are torchvision's, so its state dicts load without renaming.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.blocks import DropPath, conv1x1, make_shortcut


class ResNeXtBlock(nn.Module):
    """1x1, grouped 3x3, 1x1 convolutions; the stride is on the 3x3, and the shortcut projects if the shapes differ.

    Maps `(N, in_channels, H, W)` to `(N, 4 * width, ceil(H / stride), ceil(W / stride))`. The 3x3 has
    `groups * (width * base_width // 64)` channels: each group has `base_width` at `width` 64, and more in later stages.

    Args:
        in_channels: channels of the input.
        width: a quarter of the output's channels.
        stride: stride of the 3x3 convolution and of the shortcut.
        groups: the paper's cardinality, at least 1.
        base_width: channels of a group at `width` 64, at least 1. Each group has at least one channel.
        drop_path: probability that training drops the branch of an image.

    Raises:
        ValueError: an argument is out of its range.
    """

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

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        groups: int = 32,
        base_width: int = 4,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner, outer = inner_channels(width, groups=groups, base_width=base_width), width * self.expansion
        self.conv1 = conv1x1(in_channels, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, outer)
        self.bn3 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.drop_path = DropPath(drop_path)
        self.downsample = make_shortcut(in_channels, outer, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 * width, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.drop_path(self.bn3(self.conv3(branch)))
        return cast(Tensor, self.relu(branch + self.downsample(images)))


def inner_channels(width: int, *, groups: int, base_width: int) -> int:
    """Return the channels of the grouped convolution, a multiple of `groups`. Raises `ValueError` if one is below 1."""
    for name, value in (("groups", groups), ("base_width", base_width)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    return groups * max(1, width * base_width // 64)
