"""U-Net: Ronneberger et al. 2015, arXiv:1505.04597, with a residual network as its contracting path."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnetctl_segment.nets import SegmentationNet


class Joint(nn.Module):
    """Enlarge coarse features, join them with fine ones, and mix both by two 3x3 convolutions."""

    def __init__(self, coarse: int, fine: int, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(coarse + fine, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Map `(N, coarse, h, w)` and `(N, fine, H, W)` to `(N, width, H, W)`."""
        joined = torch.cat([F.interpolate(coarse, size=fine.shape[2:], mode="nearest"), fine], 1)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(joined))))))


class UNetNet(SegmentationNet):
    """The features of the stem and of all stages, joined from the coarsest to the finest.

    Args:
        backbone: a backbone with all its stages, of any number and any reductions.
        classes: number of classes.
        width: channels of the finest joint; each coarser one has twice as many, up to those of its features.
        dice, balance: weight of the Dice loss beside the cross-entropy, and how far that one weighs rare classes up: 0
            not at all, 1 until all classes weigh the same.
    """

    def __init__(
        self, backbone: Any, *, classes: int, width: int = 16, dice: float = 1.0, balance: float = 0.5
    ) -> None:
        super().__init__(classes=classes, dice=dice, balance=balance)
        if width < 1:
            raise ValueError(f"width {width} must be at least 1")
        whole = backbone.select(("stem", *backbone.stages))
        # where two outputs have the same size, the later one has seen more
        names = [
            name
            for name, after in pairwise([*whole.reductions, ""])
            if whole.reductions.get(after) != whole.reductions[name]
        ]
        self.backbone = backbone.select(names)
        channels = list(self.backbone.channels.values())
        widths = [min(width * 2**level, fine) for level, fine in enumerate(channels[:-1])]
        coarser = [*widths[1:], channels[-1]]
        self.joints = nn.ModuleList(map(Joint, coarser, channels, widths))
        self.classifier = nn.Conv2d((widths or channels)[0], classes, 1)
        self.joints.apply(_initialise)

    def scores(self, images: Tensor) -> Tensor:
        """Return logits at the size of the finest features."""
        *fine, outputs = self.backbone(images).values()
        for joint, features in zip(reversed(self.joints), reversed(fine), strict=True):
            outputs = joint(outputs, features)
        return self.classifier(outputs)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
