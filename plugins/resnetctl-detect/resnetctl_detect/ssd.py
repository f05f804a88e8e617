"""SSD: Liu et al. 2016, arXiv:1512.02325, with torchvision's heads, matcher and loss on a feature pyramid."""

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import box_iou

from resnetctl_detect import anchors as sizes
from resnetctl_detect.fixed_shapes import decoded, finished, gather
from resnetctl_detect.nets import FixedAnchors, Pyramid, chosen, last_stages, targets


class SSDNet(SSD):
    """One score for each class and anchor, and a correction of each anchor.

    Args:
        backbone: a backbone with all its stages.
        classes: number of classes, without the background.
        size: pixels a side of the images.
        anchors: widths and heights in pixels; () if the boxes are not known.
        levels: the detector reads at most so many of the last stages.
        width: channels of the feature pyramid.
        options: of torchvision's `SSD`: those in `DEFAULTS`. `topk_candidates` are of each class.

    Raises:
        ValueError: an argument is unknown or out of its range.
    """

    def __init__(
        self,
        backbone: Any,
        *,
        classes: int,
        size: int,
        anchors: sizes.Sizes = (),
        levels: int = 3,
        width: int = 64,
        **options: Any,
    ) -> None:
        if min(classes, size, levels, width) < 1:
            raise ValueError(f"classes {classes}, size {size}, levels {levels} and width {width} must be at least 1")
        pyramid = Pyramid(last_stages(backbone, levels, finest=8), width)
        generator = sizes.SizedAnchors(sizes.even_levels(anchors or sizes.default(size), len(pyramid.reductions)))
        head = SSDHead([width] * len(pyramid.reductions), generator.counts, classes + 1)
        super().__init__(pyramid, generator, (size, size), classes + 1, head=head, **chosen(DEFAULTS, options))
        self.anchors = FixedAnchors(generator, pyramid.reductions, size)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits `(N, A, classes + 1)`, corrections `(N, A, 4)`, and the anchors `(A, 4)`."""
        features = list(self.backbone(images).values())
        return {**self.head(features), "anchors": self.anchors(images, features)}

    def loss(self, images: Tensor, truth: Any) -> dict[str, Tensor]:
        """Return torchvision's losses, to be added up. `truth` has boxes in pixels of the images."""
        raw, wanted = self(images), targets(truth)
        matches = [self._matched(target["boxes"], raw["anchors"]) for target in wanted]
        return self.compute_loss(wanted, raw, [raw["anchors"]] * len(images), matches)

    def _matched(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Return the box of each anchor, int64 `(A,)`, -1 for the background."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matches: Tensor = self.proposal_matcher(box_iou(boxes, anchors))
        return matches

    def decode(self, raw: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes `(N, K, 4)`, scores `(N, K)` and labels `(N, K)`: as torchvision, in fixed shapes."""
        size = self.transform.fixed_size
        scores = raw["cls_logits"].softmax(2)[..., 1:].transpose(1, 2)  # (N, classes, A)
        count = min(self.topk_candidates, scores.shape[2])
        scores, index = scores.topk(count, dim=2)
        labels = torch.arange(scores.shape[1], device=index.device)[None, :, None].expand_as(index).flatten(1)
        scores, index = scores.flatten(1), index.flatten(1)
        boxes = decoded(
            self.box_coder, gather(raw["bbox_regression"], index), raw["anchors"][index], size=(size[1], size[0])
        )
        return finished(
            boxes,
            scores,
            labels,
            size=(size[1], size[0]),
            iou=self.nms_thresh,
            threshold=self.score_thresh,
            count=self.detections_per_img,
        )


DEFAULTS = {
    "score_thresh": 0.01,
    "nms_thresh": 0.5,
    "detections_per_img": 100,
    "topk_candidates": 200,
    "iou_thresh": 0.5,
    "positive_fraction": 0.25,
}
