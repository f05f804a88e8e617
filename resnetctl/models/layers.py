"""Small layers for residual blocks."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth: in training, zero the branch of each image with probability `rate` and rescale the rest.

    Draws from torch's global generator of the device. At `rate` 0 or in evaluation it is the identity (Huang et al.
    2016, arXiv:1603.09382).

    Raises:
        ValueError: `rate` is outside [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop_path {rate} must be at least 0 and below 1")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch, `(N, C, H, W)`, with whole images zeroed in training."""
        if not self.training or self.rate == 0:
            return branch
        # one coin per image, shared by its channels and pixels: 1 keeps the branch, 0 drops it
        kept = branch.new_empty((branch.shape[0], 1, 1, 1)).bernoulli_(1 - self.rate)
        # scale kept branches by 1 / (1 - rate): their mean over the draws is then the branch used in evaluation
        return branch * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"rate={self.rate}"


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution with padding 1 and no bias (a norm follows): `H` to `ceil(H / stride)`."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 1x1 convolution without bias: `H` to `ceil(H / stride)`."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


def average_pool(stride: int) -> nn.Module:
    """Return an average pool, `H` to `ceil(H / stride)`; the identity at stride 1.

    A window that reaches over the lower or right edge averages only the pixels inside the image.
    """
    return nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
