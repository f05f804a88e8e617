"""Networks that learn small images in few epochs, as data. This module imports no torch.

The widths are those of airbench94 (Jordan 2024, arXiv:2404.00498, section 3.1) behind a first stage at full resolution,
which airbench does not have. No counts are published for them, so `params` is None.
"""

from resnetctl.spec import Arch

JORDAN_2024 = "Jordan 2024, arXiv:2404.00498"
STEM = 24  # filters: the twelve largest directions of a patch, and their opposites


def _speednet(divisor: int) -> Arch:
    """Return four stages of one block each, the last three with 1/`divisor` of airbench94's channels."""
    return Arch(
        name=f"speednet_wd{divisor}" if divisor > 1 else "speednet",
        block="speed",
        depths=(1, 1, 1, 1),
        widths=(STEM, 64 // divisor, 256 // divisor, 256 // divisor),
        stem="cifar",
        stem_width=STEM,
        activation="gelu",
        summary="learns small images in few epochs" + f", 1/{divisor} of the channels" * (divisor > 1),
        paper=JORDAN_2024,
    )


speednet = _speednet(1)
speednet_wd2 = _speednet(2)
