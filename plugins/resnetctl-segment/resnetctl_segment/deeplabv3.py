"""DeepLabV3: Chen et al. 2017, arXiv:1706.05587, with torchvision's atrous spatial pyramid."""

from typing import Any

from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from resnetctl.errors import ConfigError, PluginError
from resnetctl_segment.nets import SegmentationNet

RATES = (6, 12, 18)  # of the pyramid at output stride 16, from the paper; twice that at 8


class DeepLabV3Net(SegmentationNet):
    """The last stage, dilated to `output_stride`, through torchvision's `ASPP`.

    Args:
        backbone: a backbone with all its stages.
        classes: number of classes.
        output_stride: reduction of the features. 0: 16 if the blocks can be dilated exactly, otherwise that of the
            network.
        width: channels of the pyramid; torchvision's is 256.
        dropout: probability that dropout zeroes a value of the pyramid; torchvision's is 0.5.
        dice, balance: weight of the Dice loss beside the cross-entropy, and how far that one weighs rare classes up: 0
            not at all, 1 until all classes weigh the same.

    Raises:
        PluginError: the blocks cannot be dilated to the `output_stride` that was asked for.
    """

    def __init__(
        self,
        backbone: Any,
        *,
        classes: int,
        output_stride: int = 0,
        width: int = 128,
        dropout: float = 0.1,
        dice: float = 1.0,
        balance: float = 0.5,
    ) -> None:
        super().__init__(classes=classes, dice=dice, balance=balance)
        if width < 1 or not 0 <= dropout < 1 or output_stride < 0:
            raise ValueError(f"width {width}, dropout {dropout} or output_stride {output_stride} is out of its range")
        self.backbone = self._dilated(backbone, output_stride)
        (channels,), (reduction,) = self.backbone.channels.values(), self.backbone.reductions.values()
        self.pyramid = ASPP(channels, [max(1, rate * 16 // reduction) for rate in RATES], width)
        self.pyramid.project[3].p = dropout
        self.classifier = nn.Sequential(  # as in torchvision's DeepLabHead
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, classes, 1),
        )

    def _dilated(self, backbone: Any, output_stride: int) -> Any:
        last = (backbone.stages[-1],)
        if output_stride:
            return backbone.select(last, output_stride=output_stride)
        try:
            return backbone.select(last, output_stride=16)
        except ConfigError:  # a network for small images: all its reductions are smaller
            return backbone.select(last)
        except PluginError as error:
            whole = backbone.select(last)
            self.notices = (f"{error.message}; its features stay {max(whole.reductions.values())} times smaller",)
            return whole

    def scores(self, images: Tensor) -> Tensor:
        """Return logits at the size of the last stage."""
        (features,) = self.backbone(images).values()
        # the pyramid norms one number per channel of each image: a batch of one has no variance
        self.pyramid.convs[-1].train(self.training and len(images) > 1)
        logits: Tensor = self.classifier(self.pyramid(features))
        return logits
