"""Faster R-CNN: Ren et al. 2015, arXiv:1506.01497, of torchvision's parts, on a feature pyramid."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import _setup_scales

from resnetctl_detect import anchors as sizes
from resnetctl_detect.fixed_shapes import DROPPED, best, decoded, finished, gather, image_numbers, suppressed
from resnetctl_detect.nets import FixedAnchors, Pyramid, chosen, image_list, last_stages, targets

SMALLEST_PROPOSAL = 1e-3  # pixels a side, as in torchvision
SMALLEST_BOX = 1e-2
CANDIDATES = 1000  # scores of an image that reach the last suppression


class FasterRCNNNet(FasterRCNN):
    """Proposals from every level of a pyramid; each is classified and corrected.

    Args:
        backbone: a backbone with all its stages.
        classes: number of classes, without the background.
        size: pixels a side of the images.
        anchors: widths and heights in pixels; () if the boxes are not known.
        levels: the detector reads at most so many of the last stages.
        width: channels of the feature pyramid.
        hidden: features of a proposal.
        options: of torchvision's `FasterRCNN`: those in `DEFAULTS`.

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
        levels: int = 4,
        width: int = 64,
        hidden: int = 256,
        **options: Any,
    ) -> None:
        if min(classes, size, levels, width) < 1:
            raise ValueError(f"classes {classes}, size {size}, levels {levels} and width {width} must be at least 1")
        pyramid = Pyramid(last_stages(backbone, levels, finest=4), width)
        names = list(pyramid.backbone.channels)
        generator = sizes.SizedAnchors(sizes.even_levels(anchors or sizes.default(size), len(names)))
        super().__init__(
            pyramid,
            rpn_anchor_generator=generator,
            box_roi_pool=MultiScaleRoIAlign(names, 7, 2),
            box_head=TwoMLPHead(width * 49, hidden),
            box_predictor=FastRCNNPredictor(hidden, classes + 1),
            min_size=size,
            max_size=size,
            **chosen(DEFAULTS, options),
        )
        self.size = size
        self.anchors = FixedAnchors(generator, pyramid.reductions, size)

    def loss(self, images: Tensor, truth: Any) -> dict[str, Tensor]:
        """Return torchvision's losses, to be added up. It draws its samples from torch's global generator."""
        listed, wanted = image_list(images), targets(truth)
        features = self.backbone(images)
        with _training(self.rpn, self.roi_heads):
            proposals, losses = self.rpn(listed, features, wanted)
            _, more = self.roi_heads(features, proposals, listed.image_sizes, wanted)
        return {**losses, **more}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits `(N, P, classes + 1)` and corrections `(N, P, classes + 1, 4)` of P proposals `(N, P, 4)`.

        `is_real` `(N, P)` is False for proposals that fill up the number.
        """
        features = self.backbone(images)
        proposals, is_real = self._proposals(images, list(features.values()))
        pooled = self._pooled(list(features.values()), proposals, images.shape[2:])
        logits, codes = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        count = proposals.shape[1]
        return {
            "logits": logits.reshape(-1, count, logits.shape[1]),
            "codes": codes.reshape(-1, count, logits.shape[1], 4),
            "proposals": proposals,
            "is_real": is_real,
        }

    def _proposals(self, images: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the best proposals `(N, P, 4)` as torchvision's RPN does in evaluation, and which are real."""
        rpn, size = self.rpn, images.shape[2:]
        by_level, deltas = rpn.head(features)
        counts = [level[0].numel() for level in by_level]
        objectness, deltas = concat_box_prediction_layers(by_level, deltas)
        objectness, deltas = objectness.reshape(-1, sum(counts)), deltas.reshape(-1, sum(counts), 4)
        limit = rpn._pre_nms_top_n["testing"]
        tops, start = [], 0
        for level in objectness.split(counts, 1):
            tops.append(level.topk(min(limit, level.shape[1]), dim=1)[1] + start)
            start += level.shape[1]
        index = torch.cat(tops, 1)
        levels = torch.cat([torch.full_like(top[:1], number) for number, top in enumerate(tops)], 1).expand_as(index)
        boxes = decoded(rpn.box_coder, gather(deltas, index), self.anchors(images, features)[index], size=size)
        scores = objectness.gather(1, index).sigmoid()
        scores = torch.where(_is_large(boxes, SMALLEST_PROPOSAL), scores, DROPPED)
        scores = suppressed(boxes, scores, groups=levels, size=size, iou=rpn.nms_thresh)
        scores, boxes = best(scores, boxes, count=rpn._post_nms_top_n["testing"])
        return boxes, scores >= 0

    def _pooled(self, features: list[Tensor], proposals: Tensor, size: Any) -> Tensor:
        """Return the features of each proposal, `(N * P, width, 7, 7)`: of the level that its area asks for.

        Every level is pooled for every proposal: to pick those of one level would need a shape that depends on them.
        """
        pool = self.roi_heads.box_roi_pool
        scales, mapper = _setup_scales(features, [tuple(size)], pool.canonical_scale, pool.canonical_level)
        numbers = image_numbers(proposals[..., 0]).expand_as(proposals[..., 0]).unsqueeze(2)
        regions = torch.cat([numbers, proposals], 2).reshape(-1, 5)
        levels = mapper([regions[:, 1:]]).reshape(-1, 1, 1, 1)
        pooled = [
            roi_align(level, regions, pool.output_size, spatial_scale=scale, sampling_ratio=pool.sampling_ratio)
            for level, scale in zip(features, scales, strict=True)
        ]
        picked = pooled[0]
        for number, values in enumerate(pooled[1:], start=1):
            picked = torch.where(levels == number, values, picked)
        return picked

    def decode(self, raw: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes `(N, K, 4)`, scores `(N, K)` and labels `(N, K)`: as torchvision, in fixed shapes."""
        heads, size = self.roi_heads, (self.size, self.size)
        scores = raw["logits"].softmax(2)[..., 1:]
        scores = torch.where(raw["is_real"].unsqueeze(2), scores, DROPPED)
        codes = raw["codes"][:, :, 1:]
        classes = scores.shape[2]
        places = raw["proposals"].unsqueeze(2).expand_as(codes)
        boxes = decoded(heads.box_coder, codes.flatten(1, 2), places.flatten(1, 2), size=size)
        flat = torch.where(_is_large(boxes, SMALLEST_BOX), scores.flatten(1), DROPPED)
        labels = torch.arange(classes, device=flat.device).repeat(scores.shape[1]).expand_as(flat)
        flat, boxes, columns = best(flat, boxes, labels.unsqueeze(2), count=CANDIDATES)
        return finished(
            boxes,
            flat,
            columns.squeeze(2),
            size=size,
            iou=heads.nms_thresh,
            threshold=heads.score_thresh,
            count=heads.detections_per_img,
        )


def _is_large(boxes: Tensor, least: float) -> Tensor:
    """Return whether boxes `(N, K, 4)` have sides of at least `least` pixels, bool `(N, K)`."""
    return ((boxes[..., 2:] - boxes[..., :2]) >= least).all(2)


@contextmanager
def _training(*parts: torch.nn.Module) -> Iterator[None]:
    """Let torchvision's parts compute losses, in evaluation too: none of them has a norm or a dropout."""
    before = [part.training for part in parts]
    for part in parts:
        part.training = True
    try:
        yield
    finally:
        for part, mode in zip(parts, before, strict=True):
            part.training = mode


DEFAULTS = {
    "rpn_pre_nms_top_n_train": 500,
    "rpn_pre_nms_top_n_test": 300,
    "rpn_post_nms_top_n_train": 300,
    "rpn_post_nms_top_n_test": 100,
    "rpn_nms_thresh": 0.7,
    "rpn_batch_size_per_image": 128,
    "box_score_thresh": 0.05,
    "box_nms_thresh": 0.5,
    "box_detections_per_img": 100,
    "box_batch_size_per_image": 128,
}
