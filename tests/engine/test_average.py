"""The decay of the moving average rises with the step, and follows from the step alone."""

from typing import Any

import pytest
import torch
from support.nets import make
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnetctl.engine.average import averaged, averages, decay_at, evaluated, steps_to_reach
from resnetctl.engine.loop import fit


def test_the_decay_rises_from_a_tenth_to_the_one_that_was_asked_for() -> None:
    assert decay_at(0, most=0.999) == 0.1
    assert decay_at(8, most=0.999) == 0.5
    assert decay_at(100_000, most=0.999) == 0.999


@pytest.mark.parametrize("decay", [0.05, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999])
def test_steps_to_reach_is_the_first_step_with_the_full_decay(decay: float) -> None:
    step = steps_to_reach(decay)
    assert decay_at(step, most=1.0) >= decay
    assert step == 0 or decay_at(step - 1, most=1.0) < decay


def test_the_average_is_the_closed_form() -> None:
    net = nn.Linear(1, 1, bias=False)
    average, expected = averaged(net, decay=0.3), 0.0
    for step, value in enumerate([1.0, 5.0, 2.0, 7.0, 3.0]):
        with torch.no_grad():
            net.weight.fill_(value)
        average.update_parameters(net)
        share = 0.0 if step == 0 else min(0.3, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * value
    assert float(average.module.weight.detach()) == pytest.approx(expected)


def test_the_average_has_the_bits_of_torchs_and_counts_the_batches_of_the_model() -> None:
    def average(kept: Any, new: Any, count: Any) -> None:
        get_ema_multi_avg_fn(decay_at(int(count), most=0.7))(kept, new, count)

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    own, torchs = averaged(net, decay=0.7), AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    for _ in range(12):
        with torch.no_grad():
            net(torch.randn(2, 3, 5, 5))
            for value in net.parameters():
                value.add_(torch.randn_like(value))
        own.update_parameters(net)
        torchs.update_parameters(net)
    mine, theirs = own.state_dict(), torchs.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if "num_batches" not in name)
    assert int(mine["module.1.num_batches_tracked"]) == 12


def test_a_short_run_ships_an_average_close_to_its_last_weights() -> None:
    """With a fixed decay of 0.999 it would be 86 % of the weights after the first step."""
    state, plan = make(count=40, steps=150, ema=0.999)
    first = {name: value.clone() for name, value in state.model.state_dict().items()}
    list(fit(state, plan))
    last, average = state.model.state_dict()["6.weight"], state.weights()["6.weight"]
    assert (average - last).norm() < 0.1 * (first["6.weight"] - last).norm()


def test_a_model_is_evaluated_itself_unless_its_optimizer_has_other_weights() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert evaluated(model, optimizer) is model
    optimizer.evaluated = torch.zeros_like  # type: ignore[attr-defined]
    twin = evaluated(model, optimizer)
    assert averages(optimizer)
    assert not any(bool(parameter.any()) for parameter in twin.parameters())
    assert model.weight.any(), "the trained weights stay"
