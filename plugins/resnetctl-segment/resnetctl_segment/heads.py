"""The heads `unet` and `deeplabv3`, as their entry points name them."""

from typing import Any, ClassVar

from resnetctl.spec import ImageSpec
from resnetctl_segment.deeplabv3 import DeepLabV3Net
from resnetctl_segment.unet import UNetNet


class UNetHead:
    """U-Net: a decoder that joins the features of all stages."""

    name: ClassVar[str] = "unet"
    task: ClassVar[str] = "segment"
    is_first_choice: ClassVar[bool] = True  # a higher mIoU in the same time: benchmarks/dense.md
    summary: ClassVar[str] = "U-Net: a decoder that joins the features of all stages (Ronneberger et al. 2015)"

    def build(
        self,
        backbone: Any,
        *,
        classes: int,
        image: ImageSpec,
        width: int = 16,
        dice: float = 1.0,
        balance: float = 0.5,
    ) -> UNetNet:
        """Return the network for normalised images of any size; arguments and errors as `UNetNet`."""
        return UNetNet(backbone, classes=classes, width=width, dice=dice, balance=balance)


class DeepLabV3Head:
    """DeepLabV3: torchvision's atrous pyramid on dilated features."""

    name: ClassVar[str] = "deeplabv3"
    task: ClassVar[str] = "segment"
    summary: ClassVar[str] = "DeepLabV3: torchvision's atrous pyramid on dilated features (Chen et al. 2017)"

    def build(
        self,
        backbone: Any,
        *,
        classes: int,
        image: ImageSpec,
        output_stride: int = 0,
        width: int = 128,
        dropout: float = 0.1,
        dice: float = 1.0,
        balance: float = 0.5,
    ) -> DeepLabV3Net:
        """Return the network for normalised images of any size; arguments and errors as `DeepLabV3Net`."""
        return DeepLabV3Net(
            backbone,
            classes=classes,
            output_stride=output_stride,
            width=width,
            dropout=dropout,
            dice=dice,
            balance=balance,
        )


unet = UNetHead()
deeplabv3 = DeepLabV3Head()
