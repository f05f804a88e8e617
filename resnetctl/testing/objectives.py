"""The rules of an objective.

Shapes: N images, K classes.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from resnetctl.engine.objective import SHARED, ObjectivePlan, TrialPlan, complaint, weighted_mean
from resnetctl.engine.shares import weight
from resnetctl.testing.findings import Rule, expect
from resnetctl.testing.schedules import settable

CLASSES = (2, 10, 1000)
COUNT = 6  # images
SIZES = (1.0, 30.0, 1e4)  # logits of untrained, sure and broken networks
STEPS = 200
RATES = (1.0, 10.0, 100.0)  # one of them suits the objective: a mean over classes has small gradients

Objective = Callable[..., Any]


def mean_loss(objective: Objective, logits: Tensor, *, targets: Tensor, plan: ObjectivePlan) -> Tensor:
    """Return the mean loss as the engine takes it."""
    losses = objective(logits, targets, **_shared(objective, plan))
    wrong = complaint(losses, images=len(logits), is_mean=_takes_mean(objective))
    expect(not wrong, wrong)
    return losses if losses.ndim == 0 else weighted_mean(losses, targets, plan=plan)


def signature(objective: Objective) -> str:
    """It takes logits and targets by position, and keyword arguments with defaults that the config can set."""
    first, second, *others = inspect.signature(objective).parameters.values()
    named = [item.name for item in (first, second) if item.kind is inspect.Parameter.KEYWORD_ONLY]
    expect(not named, f"it takes {' and '.join(named)} not by position")
    wrong = settable([item for item in others if item.name not in SHARED])
    expect(not wrong, f"these arguments are not keywords with a default of numbers, text or switches: {wrong}")
    return ", ".join(item.name for item in others) or "no arguments"


def shapes(objective: Objective) -> str:
    """It returns one loss per image for class numbers and for shares; a mean if it weighs the classes itself."""
    for logits, targets in _batches():
        mean_loss(objective, logits, targets=targets, plan=TrialPlan())
    return "a mean" if _takes_mean(objective) else "one loss per image"


def finite(objective: Objective) -> str:
    """Losses and their gradients are finite, also where the network is sure, right or wrong."""
    for size in SIZES:
        for logits, targets in _batches(size=size):
            logits.requires_grad_(True)
            loss = mean_loss(objective, logits, targets=targets, plan=TrialPlan())
            expect(bool(loss.isfinite()), f"the loss is {float(loss)} for logits up to {float(logits.abs().max()):g}")
            expect(loss.requires_grad, "the loss has no gradient")
            (slope,) = torch.autograd.grad(loss, logits)
            expect(bool(slope.isfinite().all()), f"a gradient is not finite for logits around {size:g}")
    return f"logits up to {SIZES[-1]:g}"


def learns(objective: Objective) -> str:
    """Steps down its gradient make the target the class with the largest logit."""
    targets = torch.arange(COUNT) % 3
    right: dict[float, int] = {}
    for rate in RATES:
        logits = torch.randn(COUNT, 3, generator=_generator()).requires_grad_(True)
        for _ in range(STEPS):
            (slope,) = torch.autograd.grad(mean_loss(objective, logits, targets=targets, plan=TrialPlan()), logits)
            logits = (logits - rate * slope).detach().requires_grad_(True)
        right[rate] = int((logits.argmax(1) == targets).sum())
    best = max(right.values())
    expect(best == COUNT, f"{best} of {COUNT} images are right after {STEPS} steps")
    return f"{COUNT} of {COUNT} images right"


def soft_targets(objective: Objective) -> str:
    """Shares of which one class has all count as this class."""
    for classes in CLASSES:
        logits, targets = _logits(classes), torch.arange(COUNT) % classes
        shares = torch.nn.functional.one_hot(targets, classes).float()
        hard, soft = (mean_loss(objective, logits, targets=each, plan=TrialPlan()) for each in (targets, shares))
        same = torch.allclose(hard, soft, rtol=1e-4, atol=1e-6)
        expect(same, f"class numbers give {float(hard):.4f}, the same classes as shares {float(soft):.4f}")
    return "as class numbers"


def parts(objective: Objective) -> str:
    """The mean over a batch is that of its parts: shards and accumulated parts add up to it, class weights included."""
    for weights in (None, torch.linspace(0.5, 2.0, 10)):
        plan = TrialPlan(class_weights=weights)
        for logits, targets in _batches(classes=(10,)):
            whole = mean_loss(objective, logits, targets=targets, plan=plan)
            pieces = [slice(0, 2), slice(2, COUNT)]
            share = [weight(targets[piece], weights) / weight(targets, weights) for piece in pieces]
            losses = [mean_loss(objective, logits[piece], targets=targets[piece], plan=plan) for piece in pieces]
            added = sum(one * part for one, part in zip(losses, share, strict=True))
            same = torch.allclose(whole, torch.as_tensor(added), rtol=1e-4, atol=1e-6)
            expect(same, f"the batch has {float(whole):.4f}, its parts together {float(added):.4f}")
    return "parts add up"


def pure(objective: Objective) -> str:
    """The same logits and targets have the same loss again, and are not changed."""
    for logits, targets in _batches():
        kept = logits.clone(), targets.clone()
        first = mean_loss(objective, logits, targets=targets, plan=TrialPlan())
        torch.manual_seed(1)
        again = mean_loss(objective, logits, targets=targets, plan=TrialPlan())
        unchanged = torch.equal(kept[0], logits) and torch.equal(kept[1], targets)
        expect(unchanged, "it changed its logits or targets")
        expect(torch.equal(first, again), f"the loss was {float(first):.6f}, and then {float(again):.6f}")
    return "a function of logits and targets"


def _shared(objective: Objective, plan: ObjectivePlan) -> dict[str, Any]:
    named = inspect.signature(objective).parameters
    return {name: getattr(plan, name) for name in SHARED if name in named}


def _takes_mean(objective: Objective) -> bool:
    return "class_weights" in inspect.signature(objective).parameters


def _batches(*, size: float = 1.0, classes: tuple[int, ...] = CLASSES) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits with class numbers, and with shares."""
    for count in classes:
        logits, targets = _logits(count) * size, torch.arange(COUNT) % count
        yield logits, targets
        shares = torch.nn.functional.one_hot(targets, count).float()
        yield logits.clone(), shares * 0.7 + shares.roll(1, 1) * 0.3


def _logits(classes: int) -> Tensor:
    return torch.randn(COUNT, classes, generator=_generator())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


RULES = {
    "signature": Rule(
        wants="a function of logits and targets, with keywords that the config can set",
        judge=signature,
        fix="def f(logits: Tensor, targets: Tensor, *, gamma: float = 2.0) -> Tensor, every keyword with a default",
    ),
    "shapes": Rule(
        wants="one loss per image, for class numbers and for shares",
        judge=shapes,
        fix="return (N,), without a mean; targets are (N,) int64, or (N, K) float32 if targets.ndim == 2",
    ),
    "finite": Rule(
        wants="finite losses and gradients, also where the network is sure",
        judge=finite,
        fix="use logits.log_softmax(1) and F.logsigmoid instead of log(softmax), and clamp below a root or a power",
    ),
    "learns": Rule(
        wants="the target as the largest logit, after steps down the gradient",
        judge=learns,
        fix="check the sign: a loss falls as the probability of the target grows",
    ),
    "soft_targets": Rule(
        wants="shares of a single class count as this class",
        judge=soft_targets,
        fix="turn class numbers into shares first: F.one_hot(targets, logits.shape[1]).float()",
    ),
    "parts": Rule(
        wants="the mean of a batch from its parts, with class weights",
        judge=parts,
        fix="compute each image's loss from its own logits; if you name class_weights, divide by the weights of the "
        "images (class numbers), or by their number (shares)",
    ),
    "pure": Rule(
        wants="the same loss for the same logits and targets",
        judge=pure,
        fix="draw no random numbers, keep no counter, and change neither logits nor targets",
    ),
}
