"""The shapes that `ResNet.features` gives, computed from an arch without building it."""

from resnetctl import registry
from resnetctl.spec import Arch


def channels(arch: Arch) -> dict[str, int]:
    """Return the channels of each stage's features: `{"layer1": 256, ...}` for resnet50.

    The block class knows its `expansion`. Raises as `registry.get`.
    """
    expansion: int = registry.get("block", arch.block).expansion
    return {f"layer{number}": width * expansion for number, width in enumerate(arch.widths, start=1)}


def reductions(arch: Arch) -> dict[str, int]:
    """Return the pixels of the image, per side, for each pixel of each stage: `{"layer1": 4, ...}` for photos.

    Features of an image of `size` pixels have `ceil(size / reduction)`. The stem reduces by 4 (imagenet) or 1 (cifar),
    the first stage keeps its input's size, each further stage halves it.

    Raises:
        ValueError: the stem is `auto`, so it depends on the image (see `Arch.resolve_stem`).
    """
    if arch.stem == "auto":
        raise ValueError(f"arch '{arch.name}': resolve its stem first, it decides the reductions")
    stem = 4 if arch.stem == "imagenet" else 1
    return {f"layer{stage + 1}": stem * 2**stage for stage in range(len(arch.depths))}
