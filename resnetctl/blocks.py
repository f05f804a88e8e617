"""Building parts for the residual blocks of plugins.

The four blocks of the core, to subclass, and their parts. N images, C channels, H rows, W columns:

- `make_shortcut(in, out, stride=, option=, norm=)`: an identity; padding (A) or a projection (B) if shapes differ.
- `PadShortcut(in, out, stride)`: option A, `(N, in, H, W)` to `(N, out, ceil(H / stride), ceil(W / stride))`.
- `preact_sum(branch, images=, active=, downsample=)`: branch plus shortcut of a pre-activation block.
- `DropPath(rate)`: stochastic depth over whole images; the shape `(N, C, H, W)` stays.
- `conv3x3(in, out, stride=)`, `conv1x1(in, out, stride=)`: without bias, `H` to `ceil(H / stride)`.
- `make_activation(name)`, `make_norm(name, channels)`: by the names of `model.activation` and `model.norm`.
- `average_pool(stride)`: `H` to `ceil(H / stride)`; the identity at stride 1.

`resnetctl.spec.Block` lists the rules for a block.
"""

from resnetctl.models.blocks import BasicBlock, BottleneckBlock, PreactBasicBlock, PreactBottleneckBlock
from resnetctl.models.layers import DropPath, average_pool, conv1x1, conv3x3, make_activation, make_norm
from resnetctl.models.shortcuts import PadShortcut, make_shortcut, preact_sum

__all__ = [
    "BasicBlock",
    "BottleneckBlock",
    "DropPath",
    "PadShortcut",
    "PreactBasicBlock",
    "PreactBottleneckBlock",
    "average_pool",
    "conv1x1",
    "conv3x3",
    "make_activation",
    "make_norm",
    "make_shortcut",
    "preact_sum",
]
