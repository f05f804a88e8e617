"""Objectives: the loss that a training step minimises, as a function of the model, the batch and the plan.

`fit` calls them under autocast, so values inside the model may be bfloat16; the loss itself is float32.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl.spec import Batch


class ObjectivePlan(Protocol):
    """The part of `engine.loop.Plan` that objectives read."""

    @property
    def label_smoothing(self) -> float: ...

    @property
    def class_weights(self) -> Tensor | None: ...


class Objective(Protocol):
    """A function of the model, the batch and the plan.

    The images are normalised float32 `(N, C, S, S)`, ready for the model. The function returns the loss, a 0-d tensor
    to call `backward` on, and the logits `(N, classes)`, from which the loop counts the train accuracy; `(N, 0)` where
    a network has none.
    """

    def __call__(self, model: nn.Module, batch: Batch, *, plan: Any) -> tuple[Tensor, Tensor]: ...


def cross_entropy(model: nn.Module, batch: Batch, *, plan: ObjectivePlan) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567), and the logits.

    Args:
        model: maps images `(N, C, S, S)` to logits `(N, classes)`.
        batch: targets are class numbers `(N,)` int64, or shares `(N, classes)` float32 after mixing.
        plan: `label_smoothing` is the share of each target that is spread evenly over all classes. It keeps the model
            from being too sure: without it, the loss always falls if the true class's logit grows further.
            `class_weights` `(classes,)` float32 weighs each image by its class; the mean is a weighted one. Mixed
            targets weigh each share, and the sum is divided by the number of images.
    """
    logits = model(batch.images)
    return weighted_cross_entropy(logits, batch.targets, plan=plan), logits


def net_loss(model: nn.Module, batch: Batch, *, plan: object) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses that a network with a head names, and no logits: `(N, 0)`.

    Args:
        model: a `resnetctl.spec.Net`.
        batch: its `truth` is what the network learns from.
    """
    losses: Mapping[str, Tensor] = model.loss(batch.images, batch.truth)  # type: ignore[operator]  # a Net has it
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    return total, total.detach().new_zeros(len(batch.images), 0)


def weighted_cross_entropy(logits: Tensor, targets: Tensor, *, plan: ObjectivePlan) -> Tensor:
    """Return the mean cross-entropy of logits `(N, classes)`, arguments as `cross_entropy`."""
    # logits in float32: in bfloat16 the sum of exponentials would be right to two digits only
    return F.cross_entropy(logits.float(), targets, weight=plan.class_weights, label_smoothing=plan.label_smoothing)


def weighted_mean(losses: Tensor, targets: Tensor, *, plan: ObjectivePlan) -> Tensor:
    """Return the mean of one loss per image `(N,)`, with the weights that the cross-entropy gives to the images."""
    if plan.class_weights is None:
        return losses.mean()
    if targets.ndim == 2:
        return (losses * (targets @ plan.class_weights)).mean()
    weights = plan.class_weights[targets]
    return (losses * weights).sum() / weights.sum()
