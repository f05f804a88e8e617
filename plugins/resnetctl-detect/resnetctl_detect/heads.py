"""The heads `ssd` and `fasterrcnn`, as their entry points name them."""

from dataclasses import dataclass
from typing import Any

from resnetctl.spec import ImageSpec
from resnetctl_detect import anchors as sizes
from resnetctl_detect.faster_rcnn import FasterRCNNNet
from resnetctl_detect.ssd import SSDNet


@dataclass(frozen=True, kw_only=True)
class DetectionHead:
    """A head of the task `detect`; `net` is the class of the networks that it builds."""

    name: str
    summary: str
    net: type[SSDNet] | type[FasterRCNNNet]
    task: str = "detect"

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, **args: Any) -> SSDNet | FasterRCNNNet:
        """Return the network for normalised images; `args` are the keyword arguments of its class.

        Raises:
            ValueError: an argument is out of its range.
        """
        return self.net(backbone, classes=classes, size=image.size, **args)

    def fit_anchors(self, boxes: Any, labels: Any, image: ImageSpec) -> dict[str, list[list[float]]]:
        """Return the argument `anchors` of `build`, fitted to all boxes of train.

        Args:
            boxes: `(M, 4)`, in pixels of the network's input.
            labels: `(M,)`, class of each box.
            image: not used: the boxes are in its pixels.

        Raises:
            ValueError: there are no boxes.
        """
        return {"anchors": sizes.fit(boxes, labels)}


ssd = DetectionHead(
    name="ssd",
    summary="SSD: one look at anchors of all stages (Liu et al. 2016)",
    net=SSDNet,
)
fasterrcnn = DetectionHead(
    name="fasterrcnn",
    summary="Faster R-CNN: proposals, then a second look at each (Ren et al. 2015)",
    net=FasterRCNNNet,
)
