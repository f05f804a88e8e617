"""Published accuracies of the archs, each with its source, and what keeps a measured one from being compared with it.

The numbers are data; this module imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from resnetctl.models import archs
from resnetctl.spec import Arch, Card, ImageSpec

HE_2015_RECIPE = (  # He et al. 2015, section 4.2
    "64,000 steps of 128 images, SGD with momentum 0.9, weight decay 0.0001, lr 0.1 divided by 10 at steps 32,000 and "
    "48,000 (lengths chosen with 5,000 training images as val); 4 pixels of padding, random crops and mirroring"
)


@dataclass(frozen=True, kw_only=True)
class Published(Card):
    """A published accuracy.

    Attributes:
        accuracy: top-1, a fraction.
        data, split: where it was measured.
        size: pixels a side of the images, which were not resized.
        recipe, source: how the network was trained, and who says so.
        note: what else the source says, "" for nothing.
    """

    accuracy: float
    data: str = "cifar10"
    split: str = "test"
    size: int = 32
    recipe: str = HE_2015_RECIPE
    source: str = "He et al. 2015, arXiv:1512.03385, table 6"
    note: str = ""


def _error(percent: float, note: str = "") -> Published:
    """Return the entry of a test error in percent."""
    return Published(accuracy=round(1 - percent / 100, 6), note=note)


PUBLISHED = {
    "resnet20": _error(8.75),
    "resnet32": _error(7.51),
    "resnet44": _error(7.17),
    "resnet56": _error(6.97),
    "resnet110": _error(6.43, "best of 5 runs, mean error 6.61 %, standard deviation 0.16; begins with lr 0.01"),
}


def published(arch: Arch) -> Published | None:
    """Return the published accuracy of an arch; None without one, and for an arch that only has the name."""
    reference = PUBLISHED.get(arch.name)
    if reference is None or _structure(arch) != _structure(getattr(archs, arch.name)):
        return None
    return reference


def differences(reference: Published, *, is_its_data: bool, split: str, image: ImageSpec) -> Iterator[str]:
    """Yield what keeps a measured accuracy from being compared with a published one.

    Args:
        is_its_data: whether the images are those of the published dataset.
        split: the measured split.
        image: the preprocessing of the weights.
    """
    if not is_its_data:
        yield "other images"
    if split != reference.split:
        yield f"measured on {split}"
    if not image.size == image.resize == reference.size or image.channels != 3:
        yield "other image size or channels"


def _structure(arch: Arch) -> tuple[object, ...]:
    stem = arch.resolve_stem(32).stem
    return (
        arch.block,
        arch.depths,
        arch.widths,
        stem,
        arch.stem_width,
        dict(arch.block_args),
        arch.activation,
        arch.norm,
    )
