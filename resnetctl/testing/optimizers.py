"""The rules of an optimizer."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl.engine.checkpoint import from_bytes, restore, to_bytes
from resnetctl.engine.loop import TrainState
from resnetctl.engine.optim import complaint, set_lr
from resnetctl.testing.findings import SEED, Rule, expect
from resnetctl.testing.schedules import settable

RATES = (0.1, 0.02, 0.003)  # one of them suits the optimizer
STEPS = 12

Optimizer = Callable[..., Any]


def net() -> nn.Sequential:
    """Return a small network with convolutions, norms, biases and a head, always with the same weights."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


def groups(model: nn.Module, *, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Return groups as the engine makes them: weights with decay, norms and biases without, and frozen ones apart."""
    by: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        by.setdefault((parameter.ndim > 1, parameter.requires_grad), []).append(parameter)
    return [
        {"params": parameters, "lr_scale": 1.0 if is_weight else 0.5, "weight_decay": weight_decay * is_weight}
        for (is_weight, _), parameters in by.items()
    ]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, *, lr: float, number: int) -> Tensor:
    """Do one step of training on fixed images, seeded by its number; return the loss."""
    torch.manual_seed(number)
    images, targets = torch.randn(8, 3, 6, 6), torch.arange(8) % 4
    images = images * 0.1 + targets.view(-1, 1, 1, 1) / 2
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model.train()(images), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    set_lr(optimizer, lr)
    optimizer.step()
    return loss.detach()


def signature(build: Optimizer) -> str:
    """It takes the groups by position, `lr`, and keyword arguments with defaults that the config can set."""
    first, *others = inspect.signature(build).parameters.values()
    expect(first.kind is not inspect.Parameter.KEYWORD_ONLY, "it takes no groups by position")
    expect(any(item.name == "lr" for item in others), "it takes no lr")
    wrong = settable([item for item in others if item.name != "lr"])
    expect(not wrong, f"these arguments are not keywords with a default of numbers, text or switches: {wrong}")
    return ", ".join(item.name for item in others)


def keeps_groups(build: Optimizer) -> str:
    """It is a torch optimizer over the given groups, whose learning rates the engine sets."""
    given = groups(net())
    wrong = complaint(build(given, lr=0.1), [len(group["params"]) for group in given])
    expect(not wrong, wrong)
    return "the given groups"


def learns(build: Optimizer) -> str:
    """At one of three learning rates, a few steps lower the loss, and all weights stay finite."""
    best: dict[float, float] = {}
    for lr in RATES:
        model = net()
        optimizer = build(groups(model), lr=lr)
        losses = [float(step(model, optimizer, lr=lr, number=number)) for number in range(STEPS)]
        if all(bool(item.isfinite().all()) for item in model.parameters()):
            best[lr] = losses[-1] - losses[0]
    expect(any(change < 0 for change in best.values()), f"the loss changes by {best or 'NaN'}")
    lr = min(best, key=lambda rate: best[rate])
    return f"loss {best[lr]:+.2f} at lr {lr:g}"


def obeys_rate(build: Optimizer) -> str:
    """A learning rate of 0 moves no weight: the engine sets it before each step, by schedule and group."""
    model = net()
    before = [item.detach().clone() for item in model.parameters()]
    optimizer = build(groups(model, weight_decay=0.1), lr=0.1)
    for number in range(2):
        step(model, optimizer, lr=0.0, number=number)
    moved = sum(not torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
    expect(not moved, f"{moved} of {len(before)} parameters move")
    return f"{len(before)} parameters stay"


def decays(build: Optimizer) -> str:
    """Weight decay shrinks the weights of its group, and only those."""
    plain, decayed = net(), net()
    for model, decay in ((plain, 0.0), (decayed, 1.0)):
        optimizer = build(groups(model, weight_decay=decay), lr=0.01)
        step(model, optimizer, lr=0.01, number=0)
    pairs = [(one, two) for one, two in zip(plain.parameters(), decayed.parameters(), strict=True)]
    larger = [two.shape for one, two in pairs if one.ndim > 1 and not two.norm() < one.norm()]
    expect(not larger, f"weights of {len(larger)} layers are not smaller with weight_decay 1")
    touched = [two.shape for one, two in pairs if one.ndim <= 1 and not torch.equal(one, two)]
    expect(not touched, f"{len(touched)} norms or biases change, although their weight_decay is 0")
    return "weights shrink, norms and biases do not"


def skips_frozen(build: Optimizer) -> str:
    """A parameter without a gradient stays as it is: parts may be frozen, and thaw later."""
    model = net()
    first = next(model.parameters())
    first.requires_grad_(False)
    before = first.detach().clone()
    optimizer = build(groups(model, weight_decay=0.1), lr=0.01)
    step(model, optimizer, lr=0.01, number=0)
    expect(torch.equal(first, before), "a frozen weight moves")
    first.requires_grad_(True)
    step(model, optimizer, lr=0.01, number=1)
    expect(not torch.equal(first, before), "a weight does not move after it thaws")
    return "frozen weights stay, and thaw"


def resumes(build: Optimizer) -> str:
    """A checkpoint holds the whole state: a run that continues from it computes the same bits."""
    whole = _state(build)
    for number in range(6):
        step(whole.model, whole.optimizer, lr=0.01, number=number)
        if number == 2:
            data = to_bytes(whole, {})
    other = _state(build)
    restore(other, from_bytes(data))
    for number in range(3, 6):
        step(other.model, other.optimizer, lr=0.01, number=number)
    pairs = zip(whole.model.parameters(), other.model.parameters(), strict=True)
    differ = sum(not torch.equal(one, two) for one, two in pairs)
    expect(not differ, f"{differ} parameters differ after a resume from step 3")
    return f"the same bits, {len(json.dumps(from_bytes(data).body)):,} bytes of settings"


def _state(build: Optimizer) -> TrainState:
    model = net()
    return TrainState.fresh(model, build(groups(model, weight_decay=0.1), lr=0.01), device=torch.device("cpu"))


RULES = {
    "signature": Rule(
        wants="a function of groups and lr, with keywords that the config can set",
        judge=signature,
        fix="def f(groups: list[dict[str, Any]], *, lr: float, beta: float = 0.9), every other keyword with a default",
    ),
    "groups": Rule(
        wants="a torch.optim.Optimizer over the given groups",
        judge=keeps_groups,
        fix="pass `groups` to Optimizer.__init__ as they are: their keys lr_scale and weight_decay must stay",
    ),
    "learns": Rule(
        wants="a few steps lower the loss",
        judge=learns,
        fix="check the sign of the update, and divisions by a norm that can be 0",
    ),
    "rate": Rule(
        wants="no movement at a learning rate of 0",
        judge=obeys_rate,
        fix='multiply every change of a weight by group["lr"], the weight decay too',
    ),
    "decay": Rule(
        wants="weight decay on the weights of its group only",
        judge=decays,
        fix='use group["weight_decay"] of the parameter\'s own group, e.g. weight.mul_(1 - lr * weight_decay)',
    ),
    "frozen": Rule(
        wants="parameters without a gradient stay",
        judge=skips_frozen,
        fix="skip a parameter whose .grad is None; create its state at its first step",
    ),
    "resume": Rule(
        wants="the same bits after a resume from a checkpoint",
        judge=resumes,
        fix="keep all state in self.state[parameter] as tensors and numbers, and draw no random numbers outside torch",
    ),
}
