"""Averages of the weights: the moving average (EMA), with a decay that rises with the step, and an optimizer's own."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def decay_at(step: int, *, most: float) -> float:
    """Return the decay of the average at `step` (updates averaged before): it rises with the step, up to `most`.

    A fixed decay of 0.999 would still hold 95 % of the untrained weights after 50 steps. This one averages over about
    the last ninth of the run so far. Formula: `tf.train.ExponentialMovingAverage` with `num_updates`; timm's
    `ModelEmaV3` and torchvision's reference recipes warm the average up to the same end.
    """
    return min(most, (1 + step) / (10 + step))


def steps_to_reach(decay: float) -> int:
    """Return the number of steps after which `decay_at` has risen to `decay` (below 1)."""
    steps = max(0, int((10 * decay - 1) / (1 - decay)) - 1)
    while decay_at(steps, most=1.0) < decay:
        steps += 1
    return steps


def averaged(model: nn.Module, *, decay: float) -> AveragedModel:
    """Return an average of `model`'s parameters and buffers. It counts its updates, so it continues after a resume."""

    def average(kept: Tensors, new: Tensors, count: Tensor | int) -> None:
        # the first update copies the weights, and is not counted here: `count` is 1 at the second update
        get_ema_multi_avg_fn(decay_at(int(count), most=decay))(kept, new, count)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def averages(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer evaluates other weights than it trains, as `spec.Optimizer` says."""
    return callable(getattr(optimizer, "evaluated", None))


@torch.no_grad()
def evaluated(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
    """Return a copy of `model` with the weights that its optimizer evaluates; the model itself without such weights."""
    if not averages(optimizer):
        return model
    twin = copy.deepcopy(model)
    for own, parameter in zip(twin.parameters(), model.parameters(), strict=True):
        own.copy_(optimizer.evaluated(parameter))  # type: ignore[attr-defined]
    return twin
