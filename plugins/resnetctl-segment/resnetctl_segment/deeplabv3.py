"""DeepLabV3: Chen et al. 2017, arXiv:1706.05587, with torchvision's atrous spatial pyramid."""

from typing import Any

from torch import Tensor
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from resnetctl.errors import ConfigError, PluginError
from resnetctl_segment.nets import SegmentationNet

RATES = (6, 12, 18)  # of the pyramid at output stride 16, from the paper; twice that at 8


class DeepLabV3Net(SegmentationNet):
    """The last stage, dilated to `output_stride`, through torchvision's `DeepLabHead`.

    Args:
        backbone: a backbone with all its stages.
        classes: number of classes.
        output_stride: reduction of the features. 0: 16 if the blocks can be dilated exactly, otherwise that of the
            network.
        dropout: probability that dropout zeroes a value of the pyramid; torchvision's is 0.5.
        dice: weight of the Dice loss beside the cross-entropy.

    Raises:
        PluginError: the blocks cannot be dilated to the `output_stride` that was asked for.
    """

    def __init__(
        self, backbone: Any, *, classes: int, output_stride: int = 0, dropout: float = 0.1, dice: float = 1.0
    ) -> None:
        super().__init__(classes=classes, dice=dice)
        self.backbone = self._dilated(backbone, output_stride)
        (channels,), (reduction,) = self.backbone.channels.values(), self.backbone.reductions.values()
        self.head = DeepLabHead(channels, classes, [max(1, rate * 16 // reduction) for rate in RATES])
        self.head[0].project[3].p = dropout

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
        pooling = self.head[0].convs[-1]
        pooling.train(self.training and len(images) > 1)
        return self.head(features)
