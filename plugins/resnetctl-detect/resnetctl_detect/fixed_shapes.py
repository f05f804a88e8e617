"""Post-processing with tensors whose shapes do not depend on their values, so that it can be exported.

torchvision's own loops over images and keeps as many boxes as there are. Here every image has K boxes; those that are
dropped get a score below every other.

Shapes: N images, K boxes of each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import nms
from torchvision.ops.boxes import clip_boxes_to_image

DROPPED = -1.0


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Return rows of `(N, A, D)` by an index `(N, K)`: `(N, K, D)`."""
    return values.gather(1, index.unsqueeze(2).expand(-1, -1, values.shape[2]))


def decoded(coder: BoxCoder, codes: Tensor, anchors: Tensor, *, size: Sequence[int]) -> Tensor:
    """Return boxes `(N, K, 4)` inside an image of `size` (height, width), from codes and anchors `(N, K, 4)`."""
    boxes = coder.decode_single(codes.reshape(-1, 4), anchors.reshape(-1, 4)).reshape(codes.shape)
    return clip_boxes_to_image(boxes, (size[0], size[1]))


def image_numbers(values: Tensor) -> Tensor:
    """Return the number of each image, float `(N, 1)`, for values `(N, K)`."""
    return torch.ones_like(values[:, :1]).cumsum(0) - 1


def suppressed(boxes: Tensor, scores: Tensor, *, groups: Tensor, size: Sequence[int], iou: float) -> Tensor:
    """Return the scores, `DROPPED` where a box with a better score in the same image and group covers it.

    One suppression serves the whole batch: boxes of different groups are moved apart to the right, those of different
    images downwards, so they cannot overlap.

    Args:
        boxes: `(N, K, 4)`, inside images of `size` (height, width).
        scores: `(N, K)`.
        groups: `(N, K)`, whole numbers, such as classes.
        iou: a box is covered if the overlap is above it.
    """
    right = groups.to(boxes.dtype) * (size[1] + 1)
    down = (image_numbers(scores) * (size[0] + 1)).expand_as(right)
    apart = boxes + torch.stack([right, down, right, down], 2)
    flat = scores.reshape(-1)
    kept = nms(apart.reshape(-1, 4), flat, iou)
    return (flat * 0 + DROPPED).scatter(0, kept, flat[kept]).reshape(scores.shape)


def best(scores: Tensor, *rows: Tensor, count: int) -> tuple[Tensor, ...]:
    """Return the `count` best scores `(N, count)` in order, and the same rows of tensors `(N, K, D)`.

    All K if there are fewer.
    """
    values, index = scores.topk(min(count, scores.shape[1]), dim=1)
    return (values, *(gather(row, index) for row in rows))


def finished(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, size: Sequence[int], iou: float, threshold: float, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the detections: boxes `(N, count, 4)`, scores and labels `(N, count)`, the best first.

    Where there are fewer, the rest has zeros as boxes and scores, and label -1.

    Args:
        boxes: candidates `(N, K, 4)`.
        scores: `(N, K)`; only those above `threshold` count.
        labels: int64 `(N, K)`.
    """
    scores = suppressed(boxes, scores, groups=labels, size=size, iou=iou)
    scores, boxes, classes = best(scores, boxes, labels.unsqueeze(2), count=count)
    is_real = scores > threshold
    scores = torch.where(is_real, scores, 0.0)
    return torch.where(is_real.unsqueeze(2), boxes, 0.0), scores, torch.where(is_real, classes.squeeze(2), -1)
