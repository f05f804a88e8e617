"""What a training step minimises: a function of the model, the batch and the plan.

`fit` calls it under autocast, so what it computes inside the model may be bfloat16; the loss itself is float32.
"""

from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl.spec import Batch


class ObjectivePlan(Protocol):
    """What objectives read of `engine.loop.Plan`."""

    @property
    def label_smoothing(self) -> float: ...


class Objective(Protocol):
    """A function of the model, the batch and the plan.

    It gets images as the model takes them, normalised float32 `(N, C, S, S)`. It returns the loss, a 0-d tensor to
    call `backward` on, and the logits `(N, classes)`, which count the accuracy on train.
    """

    def __call__(self, model: nn.Module, batch: Batch, *, plan: Any) -> tuple[Tensor, Tensor]: ...


def cross_entropy(model: nn.Module, batch: Batch, *, plan: ObjectivePlan) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567), and the logits.

    Args:
        model: maps images `(N, C, S, S)` to logits `(N, classes)`.
        batch: targets are class numbers `(N,)` int64, or shares `(N, classes)` float32 after mixing.
        plan: `label_smoothing` moves that share of each target evenly to all classes.
    """
    logits = model(batch.images)
    # logits in float32: the sum of exponentials in bfloat16 would keep two digits
    return F.cross_entropy(logits.float(), batch.targets, label_smoothing=plan.label_smoothing), logits
