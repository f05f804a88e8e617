"""The replay returns where the first number that is not finite appears."""

import dataclasses
import math

import pytest
import torch
from support.nets import make, shake
from torch import Tensor, nn

from resnetctl.engine.loop import Plan, TrainState, fit
from resnetctl.engine.nonfinite import Origin, find_origin
from resnetctl.errors import NonFinite
from resnetctl.spec import Batch


def poisoned(at: int, row: int) -> object:
    """Return a policy that makes one pixel NaN in the step `at`, in the image at `row` of the batch."""

    def augment(batch: Batch) -> Batch:
        images = shake(batch).images.float()
        if batch.step == at:
            images[row, 0, 1, 1] = math.nan
        return dataclasses.replace(batch, images=images)

    return augment


def index_of(plan: Plan, step: int) -> list[int]:
    """Return the rows that a step trains on."""
    rows: list[list[int]] = []
    state, _ = make()
    spy = dataclasses.replace(plan, augment=lambda batch: (rows.append(batch.index.tolist()), shake(batch))[1])
    for _ in zip(fit(state, spy), range(step + 1), strict=False):
        pass
    return rows[step]


def test_a_run_with_finite_numbers_has_no_origin() -> None:
    state, plan = make()
    assert find_origin(state, plan) is None
    assert state.step == 12


def test_a_nan_pixel_names_the_image() -> None:
    state, plan = make()
    plan = dataclasses.replace(plan, augment=poisoned(4, 1))
    expected = index_of(plan, 4)[1]
    assert find_origin(state, plan) == Origin(step=5, kind="pixels", layer="", rows=(expected,))


def test_an_infinite_activation_names_the_layer_and_the_images() -> None:
    state, plan = make()
    with torch.no_grad():
        state.model[3].bias[0] = math.inf
    origin = find_origin(state, plan)
    assert origin == Origin(step=1, kind="activation", layer="3", rows=tuple(index_of(plan, 0)))


class Spike(torch.autograd.Function):
    """The identity with an infinite gradient."""

    @staticmethod
    def forward(context: object, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient * math.inf


class Spiky(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return Spike.apply(value)  # type: ignore[no-any-return]


@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_an_infinite_gradient_names_the_first_layer_that_it_reaches(grad_clip: float) -> None:
    """Clipping spreads a NaN over every gradient, so only the order of the backward pass shows the layer."""
    state, plan = make(grad_clip=grad_clip)
    state.model[4] = Spiky()  # between convolution 3 and the linear layer 6
    origin = find_origin(state, plan)
    assert origin is not None
    assert (origin.step, origin.kind) == (1, "gradient")
    assert origin.layer.startswith("3.")
    assert origin.rows == tuple(index_of(plan, 0))


def test_an_update_that_overflows_names_the_weight_or_the_activation() -> None:
    state, plan = make(learning_rate=lambda step: 1e38 if step == 2 else 0.01)
    origin = find_origin(state, plan)
    assert origin is not None
    assert origin.kind in ("weight", "activation")
    assert origin.step in (3, 4)


def test_the_origin_has_the_step_at_which_training_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> tuple[TrainState, Plan]:
        state, plan = make()
        return state, dataclasses.replace(plan, augment=poisoned(7, 0))

    state, plan = start()
    with pytest.raises(NonFinite, match="at step 8"):
        list(fit(state, plan))
    origin = find_origin(*start())
    assert origin is not None
    assert origin.step == 8


def test_the_search_removes_its_hooks() -> None:
    state, plan = make(steps=1)
    find_origin(state, plan)
    assert not any(module._forward_hooks for module in state.model.modules())
    assert not any(parameter._backward_hooks for parameter in state.model.parameters())


def test_the_search_stops_when_give_up_returns_true() -> None:
    state, plan = make()
    with torch.no_grad():
        state.model[6].bias.fill_(0)
    assert find_origin(state, plan, give_up=lambda: True) is None
    assert state.step == 1
