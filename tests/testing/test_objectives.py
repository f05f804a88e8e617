"""The objectives of the core and of the scaffold break no rule; each broken one breaks the rule of its case."""

import itertools
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from resnetctl import registry
from resnetctl.testing import check_objective, objectives
from resnetctl.testing.findings import judge, judge_all

COUNTER = itertools.count()


def without_default(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def by_keyword(*, logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def mean(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def class_numbers_only(logits: Tensor, targets: Tensor) -> Tensor:
    return F.nll_loss(logits.log_softmax(1), targets, reduction="none")


def overflows(logits: Tensor, targets: Tensor) -> Tensor:
    return -(logits.exp() / logits.exp().sum(1, keepdim=True)).log().mul(objectives_shares(logits, targets)).sum(1)


def objectives_shares(logits: Tensor, targets: Tensor) -> Tensor:
    return F.one_hot(targets, logits.shape[1]).float() if targets.ndim == 1 else targets


def climbs(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(logits, targets, reduction="none")


def argmax_only(logits: Tensor, targets: Tensor) -> Tensor:
    """Count a class number other than the same class as shares."""
    scale = 1.0 if targets.ndim == 1 else 2.0
    return scale * F.cross_entropy(logits, targets, reduction="none")


def of_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, targets, reduction="none")
    return losses + logits.std(0).sum()


def sums(logits: Tensor, targets: Tensor, *, class_weights: Tensor | None = None) -> Tensor:
    return F.cross_entropy(logits, targets, weight=class_weights, reduction="sum")


def draws(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none") * (1 + 0.1 * next(COUNTER))


def writes(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, targets, reduction="none")
    with torch.no_grad():
        targets.zero_()
    return losses


def failed(objective: Callable[..., Any]) -> list[str]:
    return [one.rule for one in judge_all("o", objectives.RULES, target=objective) if not one.ok]


@pytest.mark.parametrize("name", ["cross-entropy", "binary-cross-entropy", "focal"])
def test_the_objectives_of_the_core_follow_every_rule(name: str) -> None:
    findings = check_objective(registry.get("objective", name))
    assert [str(one) for one in findings if not one.ok] == []
    assert len(findings) == len(objectives.RULES)


def test_the_objective_of_the_scaffold_follows_every_rule() -> None:
    text = (resources.files("resnetctl") / "templates" / "objective.py.txt").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(text.replace("$object", "own"), scope)
    assert failed(scope["own"]) == []


@pytest.mark.parametrize(
    ("objective", "rule"),
    [
        (without_default, "signature"),
        (by_keyword, "signature"),
        (mean, "shapes"),
        (class_numbers_only, "shapes"),
        (overflows, "finite"),
        (climbs, "learns"),
        (argmax_only, "soft_targets"),
        (of_the_batch, "parts"),
        (sums, "parts"),
        (draws, "pure"),
        (writes, "pure"),
    ],
)
def test_a_broken_objective_breaks_its_rule(objective: Callable[..., Any], rule: str) -> None:
    assert rule in failed(objective)


def test_the_finding_says_what_is_wrong() -> None:
    finding = judge("o", "shapes", rule=objectives.RULES["shapes"], target=mean)
    assert finding.seen == "it returned the shape (), not (6,)"
    assert finding.fix == objectives.RULES["shapes"].fix
