"""Muon makes updates orthogonal, the trapezoid has its shape, and both follow every rule of resnetctl."""

from typing import Any

import pytest
import torch
from resnetctl_muon.optimizers import muon, orthogonalised
from resnetctl_muon.schedule_free import schedule_free_adamw, schedule_free_sgd
from resnetctl_muon.schedules import trapezoid
from torch import nn

from resnetctl.config.schema import OptimConfig, TrainConfig
from resnetctl.errors import ConfigError
from resnetctl.spec import SchedulePoint
from resnetctl.testing import conformance
from resnetctl.training import plugin_trial

test_conformance = conformance("resnetctl-muon")


@pytest.mark.parametrize("shape", [(16, 27), (32, 288), (64, 16), (1, 9)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.25
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    product = left.T @ result @ right.T
    assert torch.allclose(product, torch.diag(product.diagonal()), atol=1e-4)


def test_a_zero_gradient_gives_no_update() -> None:
    assert not orthogonalised(torch.zeros(4, 9)).any()


def test_convolutions_move_as_far_as_with_adamw() -> None:
    layer = nn.Conv2d(16, 32, 3, bias=False)
    before = layer.weight.detach().clone()
    optimizer = muon([{"params": [layer.weight], "weight_decay": 0.0}], lr=0.01)
    layer.weight.grad = torch.randn_like(layer.weight)
    optimizer.step()
    moved = (layer.weight.detach() - before).square().mean().sqrt()
    assert float(moved) == pytest.approx(0.01 * 0.2, rel=0.2)


def test_other_parameters_follow_torchs_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    optimizers = (
        muon([{"params": list(ours.parameters()), "weight_decay": 0.1}], lr=0.01),
        torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1),
    )
    for _ in range(4):
        gradients = [torch.randn_like(item) for item in ours.parameters()]
        for net, optimizer in zip((ours, theirs), optimizers, strict=True):
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_the_trapezoid_stays_at_the_peak_and_then_falls() -> None:
    points = [SchedulePoint(step=step, steps=110, warmup=10) for step in range(10, 110)]
    values = [trapezoid(point, final_lr=0.1) for point in points]
    assert values[:61] == [1.0] * 61
    assert values[80] == pytest.approx(0.55)
    assert values[-1] == pytest.approx(0.1225)
    assert {trapezoid(point, decay=0.0) for point in points} == {1.0}
    with pytest.raises(ValueError, match=r"decay is 1.5, not a share"):
        trapezoid(points[0], decay=1.5)


def test_schedule_free_sgd_follows_algorithm_1() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = schedule_free_sgd([{"params": [weight], "weight_decay": 0.0}], lr=0.5, momentum=0.8)
    x = z = y = 1.0
    for step in range(1, 6):
        weight.grad = 2 * weight.detach()  # of the square
        optimizer.step()
        z -= 0.5 * 2 * y
        x += (z - x) / step
        y = 0.2 * z + 0.8 * x
    assert weight.item() == pytest.approx(y)
    assert optimizer.evaluated(weight).item() == pytest.approx(x)


@pytest.mark.parametrize("build", [schedule_free_sgd, schedule_free_adamw])
def test_the_average_is_nearer_to_the_end_of_a_noisy_bowl_than_the_steps(build: Any) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.ones(200))
    optimizer = build([{"params": [weight], "weight_decay": 0.0}], lr=0.1)
    for _ in range(300):
        weight.grad = weight.detach() + torch.randn(200)
        optimizer.step()
    assert optimizer.evaluated(weight).norm() < weight.detach().norm() < optimizer.state[weight]["point"].norm() / 2


def test_a_second_average_is_refused() -> None:
    config = TrainConfig(ema_decay=0.9, optim=OptimConfig(name="schedule-free-sgd"))
    with pytest.raises(ConfigError, match="optimizer 'schedule-free-sgd' averages the weights itself"):
        plugin_trial._try_optimizer(config)
