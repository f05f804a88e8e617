"""Find the first number that is not finite: repeat the steps and watch every layer.

All random numbers follow from (seed, step), so the steps after a checkpoint can be repeated exactly. Watching is slow,
because it waits for the device at every layer; training itself does not watch.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl.engine.loop import Plan, StepResult, TrainState, fit
from resnetctl.errors import NonFinite
from resnetctl.spec import Batch, Transform


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where non-finite numbers began.

    Attributes:
        step: counted from 1.
        kind: `pixels`, `targets`, `activation`, `gradient` or `weight`.
        layer: name of the module or parameter; empty for pixels and targets, which come from the policy.
        rows: rows of the affected images in the stored train split; the whole batch if no image can be singled out.
    """

    step: int
    kind: str
    layer: str
    rows: tuple[int, ...]


def find_origin(state: TrainState, plan: Plan, *, give_up: Callable[[], bool] = lambda: False) -> Origin | None:
    """Train on from `state` and return where the first number that is not finite appears.

    Returns:
        None if all numbers stay finite to the end of the run, or if `give_up` returns True.
    """
    watch = _Watch()
    watched = dataclasses.replace(plan, augment=watch.over(plan.augment), evaluate=None, early_stop=0, stepper=None)
    with watch.on(state.model), contextlib.suppress(NonFinite):
        for fact in fit(state, watched):
            if isinstance(fact, StepResult):
                watch.check_weights(state.model)
            if watch.origin or give_up():
                break
    return watch.origin


class _Watch:
    """Look at the tensors of each step, and keep the origin of the first number that is not finite."""

    def __init__(self) -> None:
        self.origin: Origin | None = None
        self._step = 0
        self._index = torch.empty(0, dtype=torch.int64)

    def over(self, augment: Transform) -> Transform:
        """Return the policy `augment`, with a check of its output."""

        def watched(batch: Batch) -> Batch:
            self._step, self._index = int(batch.step), batch.index
            augmented = augment(batch)
            self._index = augmented.index
            self.check(augmented.images, kind="pixels", layer="")
            self.check(augmented.targets, kind="targets", layer="")
            return augmented

        return watched

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Watch every layer and every parameter's gradient within a `with` statement."""
        hooks = [
            module.register_forward_hook(partial(self._after, name=name))
            for name, module in model.named_modules()
            if not any(module.children())
        ]
        hooks += [
            parameter.register_hook(partial(self._gradient, name=name))  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def check_weights(self, model: nn.Module) -> None:
        """Check the parameters and buffers after a step."""
        for name, value in model.state_dict().items():
            self.check(value, kind="weight", layer=name, by_image=False)

    def check(self, value: Any, *, kind: str, layer: str, by_image: bool = True) -> None:
        """Keep the origin if `value` is the first that is not finite.

        `by_image` allows that its first dimension is the batch, and then only the affected images are kept.
        """
        if self.origin or not isinstance(value, Tensor) or not value.is_floating_point() or value.isfinite().all():
            return
        index = self._index
        if by_image and value.ndim and len(value) == len(index):
            index = index[~value.detach().flatten(1 if value.ndim > 1 else 0).isfinite().reshape(len(index), -1).all(1)]
        self.origin = Origin(step=self._step + 1, kind=kind, layer=layer, rows=tuple(index.tolist()))

    def _after(self, module: nn.Module, arguments: Any, output: Any, *, name: str) -> None:
        self.check(output, kind="activation", layer=name)

    def _gradient(self, gradient: Tensor, *, name: str) -> None:
        # the backward pass goes from the loss to the input: all gradients before this one were finite, so the bad one
        # comes from the loss or from this layer
        self.check(gradient, kind="gradient", layer=name, by_image=False)
