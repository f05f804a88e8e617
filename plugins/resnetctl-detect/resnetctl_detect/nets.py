"""What both detectors share: truth in torchvision's form, pyramids, and anchors of the image's size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork

from resnetctl_detect.anchors import SizedAnchors


class Pyramid(nn.Module):
    """A backbone and, on its outputs, torchvision's feature pyramid: images to features of one width.

    Attributes:
        out_channels: the width.
        reductions: reduction of each level, the finest first.
    """

    def __init__(self, backbone: Any, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramidNetwork(list(backbone.channels.values()), width)
        self.out_channels = width
        self.reductions = list(backbone.reductions.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features by the names of the stages."""
        features: dict[str, Tensor] = self.pyramid(self.backbone(images))
        return features


def chosen(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults with other values. torchvision's detectors would ignore a name that they do not know.

    Raises:
        ValueError: an option is not among the defaults.
    """
    for name in options:
        if name not in defaults:
            raise ValueError(f"there is no argument '{name}' beside {', '.join(defaults)}")
    return {**defaults, **options}


def last_stages(backbone: Any, levels: int, *, finest: int) -> Any:
    """Return the backbone with its last stages as outputs.

    Args:
        levels: at most so many.
        finest: stages with a smaller reduction are left out, but the last one is kept.
    """
    names = [name for name in backbone.stages if backbone.select((name,)).reductions[name] >= finest]
    return backbone.select((names or backbone.stages)[-levels:])


def targets(truth: Any) -> list[dict[str, Tensor]]:
    """Return the boxes of each image as torchvision's detectors want them; class 0 is the background."""
    return [{"boxes": boxes, "labels": labels + 1} for boxes, labels in truth.split()]


def image_list(images: Tensor) -> ImageList:
    """Return a batch as torchvision's list of images of one size."""
    height, width = images.shape[2:]
    return ImageList(images, [(height, width)] * len(images))


def grids(reductions: Sequence[int], size: int) -> list[int]:
    """Return the positions along a side of each level, for images with `size` pixels a side."""
    return [-(-size // reduction) for reduction in reductions]


class FixedAnchors(nn.Module):
    """All anchors of an image with the size of the head, made once; images of other sizes get theirs when they come."""

    boxes: Tensor

    def __init__(self, generator: SizedAnchors, reductions: Sequence[int], size: int) -> None:
        super().__init__()
        self.generator, self.grids, self.size = generator, grids(reductions, size), size
        self.register_buffer("boxes", generator.on_grids(self.grids, size), persistent=False)

    def forward(self, images: Tensor, features: list[Tensor]) -> Tensor:
        """Return the anchors `(A, 4)` of images `(N, C, H, W)` and the features of each level."""
        if images.shape[2:] == (self.size, self.size):
            return self.boxes
        made: list[Tensor] = self.generator(image_list(images[:1]), features)
        return made[0].to(torch.float32)
