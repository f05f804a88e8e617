"""The heads `unet` and `deeplabv3`, as their entry points name them."""

from dataclasses import dataclass
from inspect import signature
from typing import Any

from resnetctl.spec import ImageSpec
from resnetctl_segment.deeplabv3 import DeepLabV3Net
from resnetctl_segment.nets import SegmentationNet
from resnetctl_segment.unet import UNetNet


@dataclass(frozen=True, kw_only=True)
class SegmentationHead:
    """A head of the task `segment`; `net` is the class of the networks that it builds."""

    name: str
    summary: str
    net: type[SegmentationNet]
    task: str = "segment"

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, **args: Any) -> SegmentationNet:
        """Return the network for normalised images; `args` are the keyword arguments of its class.

        Raises:
            ValueError: an argument is unknown, or out of its range.
        """
        known = [name for name in signature(self.net).parameters if name not in ("backbone", "classes")]
        for name in args:
            if name not in known:
                raise ValueError(f"there is no argument '{name}' beside {', '.join(known)}")
        return self.net(backbone, classes=classes, **args)


unet = SegmentationHead(
    name="unet",
    summary="U-Net: a decoder that joins the features of all stages (Ronneberger et al. 2015)",
    net=UNetNet,
)
deeplabv3 = SegmentationHead(
    name="deeplabv3",
    summary="DeepLabV3: torchvision's atrous pyramid on dilated features (Chen et al. 2017)",
    net=DeepLabV3Net,
)
