"""The block of the speed net: a convolution and a pool that change the shape, then a residual convolution."""

from typing import ClassVar, cast

from torch import Tensor, nn

from resnetctl.blocks import conv3x3


class SpeedBlock(nn.Module):
    """Convolution, max-pool, norm and activation; then a convolution around which an identity leads.

    As a group of airbench (Jordan 2024, arXiv:2404.00498, listing 2) with the shortcut of the ResNet-9 of Page 2018.
    The pool keeps the strongest answer of each window, where a strided convolution would compute one of them.

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: side of the pool's window. At stride 1 there is no pool, and no first convolution if the width stays.
    """

    expansion: ClassVar[int] = 1
    capturable: ClassVar[bool] = True  # keeps no number of Python from step to step
    preactivation: ClassVar[bool] = False
    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1"}
    branch_end: ClassVar[str] = "bn1"
    activations: ClassVar[tuple[str, ...]] = ("act", "downsample.3")
    norms: ClassVar[tuple[str, ...]] = ("bn1", "downsample.2")

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != width:
            # a window over the edge pools the pixels that are there: `H` to `ceil(H / stride)`
            pool = nn.MaxPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.downsample = nn.Sequential(conv3x3(in_channels, width), pool, nn.BatchNorm2d(width), nn.GELU())
        self.conv1 = conv3x3(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.act = nn.GELU()

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`."""
        images = self.downsample(images)
        return cast(Tensor, self.act(images + self.bn1(self.conv1(images))))
