"""The CIFAR networks of He et al. 2015 with attention in every block, as data. This module imports no torch.

`params` is the count of pytorchcv (imgclsmob); None if no exact count is published. All shortcuts that change the shape
project (option B), as in pytorchcv.
"""

from resnetctl.spec import Arch

HU_2017 = "Hu et al. 2017, arXiv:1709.01507"
WANG_2019 = "Wang et al. 2019, arXiv:1910.03151"
WOO_2018 = "Woo et al. 2018, arXiv:1807.06521"


def _cifar(family: str, depth: int, paper: str, params: int | None = None) -> Arch:
    """Return three stages of n basic blocks, `depth` = 6n + 2 (He et al. 2015, 4.2)."""
    return Arch(
        name=f"{family}_resnet{depth}",
        block=f"{family}_basic",
        depths=((depth - 2) // 6,) * 3,
        widths=(16, 32, 64),
        params=params,
        summary=f"{depth} layers for small images, {family.upper()} attention in each block",
        paper=paper,
    )


se_resnet20 = _cifar("se", 20, HU_2017, 274_847)
se_resnet32 = _cifar("se", 32, HU_2017)
se_resnet44 = _cifar("se", 44, HU_2017)
se_resnet56 = _cifar("se", 56, HU_2017, 862_889)
se_resnet110 = _cifar("se", 110, HU_2017, 1_744_952)

eca_resnet20 = _cifar("eca", 20, WANG_2019)
eca_resnet56 = _cifar("eca", 56, WANG_2019)

cbam_resnet20 = _cifar("cbam", 20, WOO_2018)
cbam_resnet56 = _cifar("cbam", 56, WOO_2018)
