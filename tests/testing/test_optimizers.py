"""The optimizers of the core break no rule; each broken one breaks the rule of its case."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from resnetctl import registry
from resnetctl.testing import optimizers
from resnetctl.testing.findings import judge, judge_all

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


def one_lr(groups: Groups, lr: float) -> torch.optim.Optimizer:
    return Plain(groups, lr)


def needs(groups: Groups, *, lr: float, beta: float) -> torch.optim.Optimizer:
    return Plain(groups, lr)


def by_keyword(*, groups: Groups, lr: float) -> torch.optim.Optimizer:
    return Plain(groups, lr)


def nothing(groups: Groups, *, lr: float) -> None:
    return None


class Explodes(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        weight.fill_(float("nan"))


class Random(Plain):
    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        noise = np.random.default_rng().normal()  # no seed of torch reaches it
        weight.mul_(1 - lr * decay).sub_(gradient, alpha=lr * (1 + 0.1 * noise))


class ForgetsThawed(Plain):
    """Look at the frozen weights once, at the beginning."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, lr)
        self.known = {id(weight) for group in self.param_groups for weight in group["params"] if weight.requires_grad}

    def move(self, weight: torch.Tensor, gradient: torch.Tensor, *, lr: float, decay: float) -> None:
        if id(weight) in self.known:
            super().move(weight, gradient, lr=lr, decay=decay)


@pytest.mark.parametrize(
    ("optimizer", "rule", "seen"),
    [
        (without_rate, "signature", "it takes no lr"),
        (needs, "signature", "not keywords with a default of numbers, text or switches: beta"),
        (by_keyword, "signature", "it takes no groups by position"),
        (build(Explodes), "learns", "the loss changes by NaN"),
        (build(Random), "resume", "parameters differ after a resume from step 3"),
        (build(ForgetsThawed), "frozen", "a weight does not move after it thaws"),
        (build(MovesFrozen), "frozen", "a frozen weight moves"),
        (build(OwnRate), "rate", "7 of 7 parameters move"),
        (build(DecaysAll), "decay", "3 norms or biases change, although their weight_decay is 0"),
        (build(NoDecay), "decay", "weights of 3 layers are not smaller with weight_decay 1"),
    ],
)
def test_the_finding_says_what_is_wrong(optimizer: Callable[..., Any], rule: str, seen: str) -> None:
    finding = judge("o", rule, rule=optimizers.RULES[rule], target=optimizer)
    assert finding.status == "failed"
    assert seen in finding.seen
    assert finding.fix == optimizers.RULES[rule].fix


def test_what_is_no_optimizer_breaks_the_rule_of_groups() -> None:
    assert failed(nothing)[0] == "groups"
    assert failed(one_lr) == []  # lr by position is a keyword too


def test_groups_are_those_of_the_engine() -> None:
    model = optimizers.net()
    next(model.parameters()).requires_grad_(False)
    made = optimizers.groups(model, weight_decay=0.5)
    assert sum(len(group["params"]) for group in made) == len([*model.parameters()])
    assert {(group["lr_scale"], group["weight_decay"]) for group in made} == {(1.0, 0.5), (0.5, 0.0)}
    assert len(made) == 3  # the frozen weight is apart
    assert all(
        torch.equal(one, two) for one, two in zip(optimizers.net().parameters(), model.parameters(), strict=True)
    )
