"""Parts of a batch, and what each counts: its share of the mean loss, and its correct images."""

import dataclasses

import torch
from torch import Tensor

from resnetctl.spec import Batch


def parts(batch: Batch, most: int, *, class_weights: Tensor | None) -> list[tuple[Batch, Tensor | float]]:
    """Split a batch into `most` parts, fewer if one had under two images, each with its share of the mean loss.

    The gradients of the parts add up to those of the whole batch, up to rounding, unless a layer looks at the whole
    batch: batch norm takes its mean and variance over a part, and moves its running averages once for each part.
    """
    count = min(most, max(1, len(batch.targets) // 2))
    if count == 1:
        return [(batch, 1.0)]
    rows = torch.arange(len(batch.targets), device=batch.images.device).tensor_split(count)
    pieces = zip(
        *(values.tensor_split(count) for values in (batch.images, batch.targets, batch.index)), rows, strict=True
    )
    split = [
        dataclasses.replace(
            batch,
            images=images,
            targets=t,
            index=index,
            truth=batch.truth and batch.truth.take(own),
            vectors=None if batch.vectors is None else batch.vectors[own],
        )
        for images, t, index, own in pieces
    ]
    return [(part, weight(part.targets, class_weights) / weight(batch.targets, class_weights)) for part in split]


def weight(targets: Tensor, class_weights: Tensor | None) -> Tensor | float:
    """Return what the mean loss over these targets divides by: the sum of their class weights, or their number."""
    if class_weights is None or targets.ndim == 2:
        return len(targets)
    return class_weights[targets].sum()


def correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Count the images whose class has the largest logit; 0 for a head without logits. Return it as 0-d int64."""
    if not logits.shape[1]:
        return logits.new_zeros((), dtype=torch.int64)
    # a mixed target counts as the class with the largest share
    truth = targets if targets.ndim == 1 else targets.argmax(1)
    return (logits.argmax(1) == truth).sum()
