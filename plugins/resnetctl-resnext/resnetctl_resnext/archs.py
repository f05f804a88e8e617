"""The networks of Xie et al. 2016, as data. This module imports no torch.

`params` is the count of pytorchcv (imgclsmob) or torchvision; None if only a rounded count is published.
"""

from resnetctl.spec import Arch

XIE_2016 = "Xie et al. 2016, arXiv:1611.05431"


def _cifar(groups: int, base_width: int, params: int | None = None) -> Arch:
    """Return three stages of three blocks: 3 * 9 + 2 = 29 layers (Xie et al. 2016, section 5.3)."""
    return Arch(
        name=f"resnext29_{groups}x{base_width}d",
        block="resnext_bottleneck",
        depths=(3, 3, 3),
        widths=(64, 128, 256),
        block_args={"groups": groups, "base_width": base_width},
        params=params,
        summary=f"29 layers for small images, {groups} groups of {base_width} channels in the first stage",
        paper=XIE_2016,
    )


resnext29_32x4d = _cifar(32, 4, 4_775_754)
resnext29_8x64d = _cifar(8, 64)  # 34.4 M in the paper
resnext29_16x64d = _cifar(16, 64, 68_155_210)

resnext50_32x4d = Arch(
    name="resnext50_32x4d",
    block="resnext_bottleneck",
    depths=(3, 4, 6, 3),
    widths=(64, 128, 256, 512),
    block_args={"groups": 32, "base_width": 4},
    params=25_028_904,
    summary="50 layers for photos, identical to torchvision's resnext50_32x4d",
    paper=XIE_2016,
)
