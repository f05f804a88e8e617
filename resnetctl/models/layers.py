"""Small layers for residual blocks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

# in place where the backward pass reads the output, so that the input need not be kept
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": nn.ReLU6,
    "leaky-relu": partial(nn.LeakyReLU, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "mish": nn.Mish,
}
MOST_GROUPS, FEWEST_CHANNELS = 32, 4  # of a group norm, and of each of its groups


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


def make_activation(name: str) -> nn.Module:
    """Return the activation of a name in `resnetctl.spec.Activation`. Raises `ValueError` for another name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
    return ACTIVATIONS[name]()


def make_norm(name: str, channels: int) -> nn.Module:
    """Return the norm over `channels` channels: `batch`, or `group` (Wu and He 2018, arXiv:1803.08494).

    A group norm computes its statistics for each image alone, so it does not depend on the size of the batch.

    Raises:
        ValueError: there is no such norm.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(norm_groups(channels), channels)
    raise ValueError(f"norm must be batch or group, not {name!r}")


def norm_groups(channels: int) -> int:
    """Return the groups of a group norm: the most up to 32 that divide `channels` and leave each four channels.

    Wu and He 2018, section 4.1: 32 groups were best for 64 to 2,048 channels, and groups of one channel worst. Networks
    for small images have as few as 16 channels. Fewer than eight channels make one group.
    """
    most = min(MOST_GROUPS, max(1, channels // FEWEST_CHANNELS))
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


def restyle(block: nn.Module, *, activation: str = "", norm: str = "") -> None:
    """Replace the activations and the norms that a block's class names, in place. "" keeps those that it has.

    A norm hands on its weight and bias, because a block may begin with a scale of zero.
    """
    if not activation and not norm:
        return
    parts = dict(block.named_modules())
    for name in parts.keys() & {*getattr(block, "activations", ())} if activation else ():
        block.set_submodule(name, make_activation(activation))
    for name in parts.keys() & {*getattr(block, "norms", ())} if norm else ():
        old: Any = parts[name]
        new = make_norm(norm, getattr(old, "num_features", None) or old.num_channels)
        new.load_state_dict(dict(old.named_parameters()), strict=False)
        block.set_submodule(name, new)


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
