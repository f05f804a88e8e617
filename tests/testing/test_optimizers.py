"""The optimizers of the core break no rule; each broken one breaks the rule of its case."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnetctl import registry
from resnetctl.testing import optimizers
from resnetctl.testing.findings import judge_all

Groups = list[dict[str, Any]]


class Plain(torch.optim.Optimizer):
    """Gradient descent with decay; subclasses change one thing each."""

    outside: dict[int, torch.Tensor]

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, {"lr": lr})
        self.outside = {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.move(weight, weight.grad, lr=group["lr"], decay=group["weight_decay"])

    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        weight.mul_(1 - lr * decay).sub_(gradient, alpha=lr)


class Climbs(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        weight.mul_(1 - lr * decay).add_(gradient, alpha=lr)


class OwnRate(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        weight.mul_(1 - lr * decay).sub_(gradient, alpha=0.01)


class NoDecay(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        weight.sub_(gradient, alpha=lr)


class DecaysAll(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        largest = max(group["weight_decay"] for group in self.param_groups)
        weight.mul_(1 - lr * largest).sub_(gradient, alpha=lr)


class StateOutside(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        momentum = self.outside.setdefault(id(weight), torch.zeros_like(weight))
        weight.mul_(1 - lr * decay).sub_(momentum.mul_(0.9).add_(gradient), alpha=lr)


class MovesFrozen(Plain):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
                self.move(weight, gradient, lr=group["lr"], decay=group["weight_decay"])


def build(kind: type[Plain]) -> Callable[..., Any]:
    def optimizer(groups: Groups, *, lr: float) -> torch.optim.Optimizer:
        return kind(groups, lr)

    return optimizer


def without_rate(groups: Groups) -> torch.optim.Optimizer:
    return Plain(groups, 0.1)


def one_group(groups: Groups, *, lr: float) -> torch.optim.Optimizer:
    return Plain([parameter for group in groups for parameter in group["params"]], lr)


def failed(optimizer: Callable[..., Any]) -> list[str]:
    return [one.rule for one in judge_all("o", optimizers.RULES, target=optimizer) if not one.ok]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_optimizers_of_the_core_follow_every_rule(name: str) -> None:
    assert failed(registry.get("optimizer", name)) == []
    assert failed(build(Plain)) == []


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (without_rate, "signature"),
        (one_group, "groups"),
        (build(Climbs), "learns"),
        (build(OwnRate), "rate"),
        (build(NoDecay), "decay"),
        (build(DecaysAll), "decay"),
        (build(MovesFrozen), "frozen"),
        (build(StateOutside), "resume"),
    ],
)
def test_a_broken_optimizer_breaks_its_rule(optimizer: Callable[..., Any], rule: str) -> None:
    assert rule in failed(optimizer)
