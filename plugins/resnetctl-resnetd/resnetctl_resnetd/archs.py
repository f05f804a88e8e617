"""Two networks for small images with the block of ResNet-D, as data. This module imports no torch.

Any other arch can use the blocks: `--arch resnet50 --block resnetd_bottleneck`. No exact counts are published, so
`params` is None.
"""

from resnetctl.spec import Arch

HE_2018 = "He et al. 2018, arXiv:1812.01187"


def _cifar(depth: int) -> Arch:
    """Return three stages of n basic blocks, `depth` = 6n + 2 (He et al. 2015, 4.2)."""
    return Arch(
        name=f"resnetd{depth}",
        block="resnetd_basic",
        depths=((depth - 2) // 6,) * 3,
        widths=(16, 32, 64),
        summary=f"{depth} layers for small images, average-pool shortcuts",
        paper=HE_2018,
    )


resnetd20 = _cifar(20)
resnetd56 = _cifar(56)
