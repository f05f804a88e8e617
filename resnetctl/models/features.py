"""The channels and sizes of `ResNet.features`, computed from the arch without building the network."""

from resnetctl import registry
from resnetctl.spec import Arch


def channels(arch: Arch) -> dict[str, int]:
    """Return the channels of each stage's features: `{"layer1": 256, ...}` for resnet50.

    Imports the block class for its `expansion`; raises what `registry.get` raises.
    """
    expansion: int = registry.get("block", arch.block).expansion
    return {f"layer{number}": width * expansion for number, width in enumerate(arch.widths, start=1)}


def reductions(arch: Arch) -> dict[str, int]:
    """Return the factor by which each stage's features are smaller than the image: `{"layer1": 4, ...}` for photos.

    An image with a side of `size` pixels has features with a side of `ceil(size / reduction)`. The stem reduces by 4
    (imagenet) or 1 (cifar), the first stage keeps its input's size, each further stage halves it.

    Raises:
        ValueError: the stem is `auto`, so it depends on the image (see `Arch.resolve_stem`).
    """
    if arch.stem == "auto":
        raise ValueError(f"arch '{arch.name}': resolve its stem first, it decides the reductions")
    stem = 4 if arch.stem == "imagenet" else 1
    return {f"layer{stage + 1}": stem * 2**stage for stage in range(len(arch.depths))}
