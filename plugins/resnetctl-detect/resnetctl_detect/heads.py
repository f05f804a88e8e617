"""The heads `ssd` and `fasterrcnn`, as their entry points name them."""

from typing import Any, ClassVar

from resnetctl.spec import ImageSpec
from resnetctl_detect import anchors as sizes
from resnetctl_detect.faster_rcnn import FasterRCNNNet
from resnetctl_detect.ssd import SSDNet


class DetectionHead:
    """What both heads of the task `detect` share."""

    task: ClassVar[str] = "detect"

    def fit_anchors(self, boxes: Any, labels: Any, image: ImageSpec) -> dict[str, list[list[float]]]:
        """Return the argument `anchors` of `build`, fitted to all boxes of train; {} if there are none.

        Args:
            boxes: `(M, 4)`, in pixels of the network's input.
            labels: `(M,)`, class of each box.
            image: not used: the boxes are in its pixels.
        """
        return {"anchors": sizes.fit(boxes, labels)} if len(boxes) else {}


class SSDHead(DetectionHead):
    """SSD: one look at anchors of the last stages."""

    name: ClassVar[str] = "ssd"
    is_first_choice: ClassVar[bool] = True  # the plainer of two that reach the same mAP: benchmarks/dense.md
    summary: ClassVar[str] = "SSD: one look at anchors of the last stages (Liu et al. 2016)"

    def build(
        self,
        backbone: Any,
        *,
        classes: int,
        image: ImageSpec,
        anchors: sizes.Sizes = (),
        levels: int = 3,
        width: int = 64,
        score_thresh: float = 0.01,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
        topk_candidates: int = 200,
        iou_thresh: float = 0.5,
        positive_fraction: float = 0.25,
    ) -> SSDNet:
        """Return the network for normalised images.

        Args:
            backbone: a backbone with all its stages.
            classes: number of classes, without the background.
            image: its `size` decides the anchors.
            anchors: widths and heights in pixels; () if the boxes are not known.
            levels: the detector reads at most so many of the last stages.
            width: channels of the feature pyramid.
            score_thresh: detections with a smaller score are dropped.
            nms_thresh: so is a detection whose IoU with a better one of its class is larger.
            detections_per_img: detections that an image keeps.
            topk_candidates: anchors of each class that reach the suppression.
            iou_thresh: IoU with a box from which an anchor learns it.
            positive_fraction: share of such anchors among those that the loss looks at.

        Raises:
            ValueError: an argument is out of its range.
        """
        return SSDNet(
            backbone,
            classes=classes,
            size=image.size,
            anchors=anchors,
            levels=levels,
            width=width,
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
            iou_thresh=iou_thresh,
            positive_fraction=positive_fraction,
        )


class FasterRCNNHead(DetectionHead):
    """Faster R-CNN: proposals, then a second look at each."""

    name: ClassVar[str] = "fasterrcnn"
    summary: ClassVar[str] = "Faster R-CNN: proposals, then a second look at each (Ren et al. 2015)"

    def build(
        self,
        backbone: Any,
        *,
        classes: int,
        image: ImageSpec,
        anchors: sizes.Sizes = (),
        levels: int = 4,
        width: int = 64,
        hidden: int = 256,
        proposals: int = 100,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
    ) -> FasterRCNNNet:
        """Return the network for normalised images.

        Args:
            backbone: a backbone with all its stages.
            classes: number of classes, without the background.
            image: its `size` decides the anchors.
            anchors: widths and heights in pixels; () if the boxes are not known.
            levels: the detector reads at most so many of the last stages.
            width: channels of the feature pyramid.
            hidden: features of a proposal.
            proposals: proposals of an image in prediction; three times as many in training.
            score_thresh, nms_thresh, detections_per_img: as of `ssd`.

        Raises:
            ValueError: an argument is out of its range.
        """
        return FasterRCNNNet(
            backbone,
            classes=classes,
            size=image.size,
            anchors=anchors,
            levels=levels,
            width=width,
            hidden=hidden,
            rpn_pre_nms_top_n_train=5 * proposals,
            rpn_post_nms_top_n_train=3 * proposals,
            rpn_pre_nms_top_n_test=3 * proposals,
            rpn_post_nms_top_n_test=proposals,
            box_score_thresh=score_thresh,
            box_nms_thresh=nms_thresh,
            box_detections_per_img=detections_per_img,
        )


ssd = SSDHead()
fasterrcnn = FasterRCNNHead()
