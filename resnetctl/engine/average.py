"""Averages of the weights: the moving average (EMA), with a decay that rises with the step, and an optimizer's own."""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


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


class Average(AveragedModel):
    """torch's `AveragedModel` with `decay_at`, and with updates that never wait for the device.

    torch copies its counter to the device and reads it there in each update. Parameters and buffers are averaged;
    whole numbers, such as the batches that a norm has seen, are copied.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        super().__init__(model, use_buffers=True)  # the counter stays on the CPU
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the model; the first update copies it."""
        pairs = [*zip(_tensors(self.module), _tensors(model), strict=True)]
        count = int(self.n_averaged)
        moving = [pair for pair in pairs if count and pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not count or not pair[0].is_floating_point()]
        if moving:  # the first update is not counted: `count` is 1 at the second one
            kept, new = zip(*moving, strict=True)
            torch._foreach_lerp_(kept, new, 1 - decay_at(count, most=self.decay))
        for old, value in copied:
            old.copy_(value)
        self.n_averaged += 1


def averaged(model: nn.Module, *, decay: float) -> Average:
    """Return an average of `model`'s parameters and buffers. It counts its updates, so it continues after a resume."""
    return Average(model, decay=decay)


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


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
