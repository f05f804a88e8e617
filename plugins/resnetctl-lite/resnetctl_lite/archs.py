"""Networks for small images with under 0.1 M parameters, as data. This module imports no torch.

They are new in this package, so no count is published and `params` is None. Shortcuts that change the shape have no
parameters (option A), as in He et al. 2015: here projections would be a tenth of the network.
"""

from resnetctl.spec import Arch

CHOLLET_2016 = "Chollet 2016, arXiv:1610.02357; He et al. 2015, arXiv:1512.03385"
SANDLER_2018 = "Sandler et al. 2018, arXiv:1801.04381"


def _separable(depth: int) -> Arch:
    """Return three stages of n blocks, `depth` = 6n + 2, with resnet20's widths. A separable convolution is a layer."""
    return Arch(
        name=f"separable_resnet{depth}",
        block="separable_basic",
        depths=((depth - 2) // 6,) * 3,
        widths=(16, 32, 64),
        block_args={"shortcut": "A"},
        summary=f"resnet{depth} with depthwise-separable convolutions",
        paper=CHOLLET_2016,
    )


def _inverted(depth: int, *, widths: tuple[int, int, int], expand: int) -> Arch:
    """Return three stages of n blocks of three layers, `depth` = 9n + 2."""
    return Arch(
        name=f"inverted_resnet{depth}",
        block="inverted_bottleneck",
        depths=((depth - 2) // 9,) * 3,
        widths=widths,
        block_args={"expand": expand, "shortcut": "A"},
        summary=f"{depth} layers of inverted bottlenecks, expanded {expand} times",
        paper=SANDLER_2018,
    )


separable_resnet20 = _separable(20)
separable_resnet44 = _separable(44)
inverted_resnet20 = _inverted(20, widths=(16, 24, 48), expand=4)
inverted_resnet29 = _inverted(29, widths=(16, 24, 48), expand=4)
