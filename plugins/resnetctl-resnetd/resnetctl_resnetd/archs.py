"""Two networks for small images with the block of ResNet-D, as data. Torch-free.

Any other arch takes the block by name: `--arch resnet50 --block resnetd_bottleneck`. No exact count is in print for
any of them, so `params` is None.
"""

from resnetctl.spec import Arch

HE_2018 = "He et al. 2018, arXiv:1812.01187"


def _cifar(depth: int) -> Arch:
    """`depth` = 6n + 2: three stages of n basic blocks (He et al. 2015, 4.2)."""
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
