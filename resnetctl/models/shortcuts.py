"""Shortcuts: a block adds its input, brought to the branch's shape (He et al. 2015, arXiv:1512.03385, section 3.3)."""

import torch.nn.functional as F
from torch import Tensor, nn

from resnetctl.models.layers import conv1x1


class PadShortcut(nn.Module):
    """Option A, without parameters: keep every `stride`-th pixel, and put half of the new zero channels on each side.

    The result is bit-equal to padding `x[:, :, ::stride, ::stride]`. Pooling with a 1x1 window does the slicing: it
    keeps channels-last strides and exports to one ONNX node with a dynamic batch.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        growth = out_channels - in_channels
        if growth < 0:
            raise ValueError(f"shortcut 'A' cannot go from {in_channels} to {out_channels} channels, use 'B'")
        self.stride = stride
        self.padding = (growth // 2, growth - growth // 2)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, out, ceil(H / stride), ceil(W / stride))`."""
        if self.stride > 1:
            images = F.avg_pool2d(images, kernel_size=1, stride=self.stride)
        return F.pad(images, (0, 0, 0, 0, *self.padding))

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"stride={self.stride}, padding={self.padding}"


def make_shortcut(
    in_channels: int, out_channels: int, *, stride: int = 1, option: str = "B", norm: bool = True
) -> nn.Module:
    """Return the shortcut that maps `(N, in, H, W)` to the branch's shape, `(N, out, ceil(H / stride), ...)`.

    Args:
        in_channels: channels of the block's input.
        out_channels: channels of the block's output.
        stride: stride of the whole block.
        option: used if the shapes differ: `A` pads with zero channels, `B` projects by a 1x1 convolution. If they are
            equal, the shortcut is the identity.
        norm: whether batch norm follows the projection; pre-activation blocks have none there.

    Raises:
        ValueError: the option is unknown (checked even if the shortcut is the identity), or `A` would have to drop
            channels.
    """
    if option not in ("A", "B"):
        raise ValueError(f"shortcut must be 'A' or 'B', not {option!r}")
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if option == "A":
        return PadShortcut(in_channels, out_channels, stride)
    projection = conv1x1(in_channels, out_channels, stride=stride)
    return nn.Sequential(projection, nn.BatchNorm2d(out_channels)) if norm else projection


def preact_sum(branch: Tensor, *, images: Tensor, active: Tensor, downsample: nn.Module) -> Tensor:
    """Return branch plus shortcut of a pre-activation block (He et al. 2016, arXiv:1603.05027).

    An identity shortcut passes the raw input on; every other shortcut reads the input after norm and ReLU.

    Args:
        branch: `(N, out, H', W')`.
        images: the block's raw input, `(N, in, H, W)`.
        active: the input after norm and ReLU.
        downsample: the block's shortcut.
    """
    shortcut: Tensor = images if isinstance(downsample, nn.Identity) else downsample(active)
    return branch + shortcut
