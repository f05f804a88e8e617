"""Objectives: the loss that a training step minimises.

An objective of the registry is a function of logits and targets, e.g. `cross_entropy`. `Supervised` makes it the
objective of a step: a function of the model, the batch and the plan. `fit` calls that under autocast, so values inside
the model may be bfloat16; the loss itself is float32.

Shapes: N images, K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl import registry
from resnetctl.config.arguments import keywords, refusable, with_arguments
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.spec import Batch, Labels, Scalar

SHARED = ("label_smoothing", "class_weights")  # what objectives get of the plan, if they name it


class ObjectivePlan(Protocol):
    """The part of `engine.loop.Plan` that objectives read."""

    @property
    def label_smoothing(self) -> float: ...

    @property
    def class_weights(self) -> Tensor | None: ...


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """An `ObjectivePlan` for trying an objective without a run."""

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None


class StepObjective(Protocol):
    """A function of the model, the batch and the plan.

    The images are normalised float32 `(N, C, S, S)`, ready for the model. The function returns the loss, a 0-d tensor
    to call `backward` on, and the logits `(N, classes)`, from which the loop counts the train accuracy; `(N, 0)` where
    a network has none.
    """

    def __call__(self, model: nn.Module, batch: Batch, *, plan: Any) -> tuple[Tensor, Tensor]: ...


def cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567), 0-d.

    Args:
        logits: `(N, K)` float32.
        targets: class numbers `(N,)` int64, or shares `(N, K)` float32 after mixing (soft targets).
        label_smoothing: share of each target that is spread evenly over all classes. It keeps the model from being too
            sure: without it, the loss always falls if the true class's logit grows further.
        class_weights: `(K,)` float32, weighs each image by its class; the mean is a weighted one. Mixed targets weigh
            each share, and the sum is divided by the number of images.
    """
    return F.cross_entropy(logits, targets, weight=class_weights, label_smoothing=label_smoothing)


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, threshold: float = 0.0, sum_classes: bool = False
) -> Tensor:
    """Return the cross-entropy of one yes-or-no question for each class, `(N,)`: the mean over the classes.

    Classes do not compete, so a mixed image may have two. Wightman et al. 2021, arXiv:2110.00476.

    Args:
        logits, targets, label_smoothing: as in `cross_entropy`.
        threshold: shares above it count as 1, the others as 0 (0: shares stay as they are).
        sum_classes: add the classes up. The gradients are K times as large, so a smaller learning rate suits them.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold:g}, not in 0..1")
    shares = smoothed(targets, classes=logits.shape[1], label_smoothing=label_smoothing)
    if threshold:
        shares = (shares > threshold).to(shares.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, shares, reduction="none")
    return losses.sum(1) if sum_classes else losses.mean(1)


def focal(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, gamma: float = 2.0) -> Tensor:
    """Return the focal loss `(N,)`, in which images that are already right count little.

    Lin et al. 2017, arXiv:1708.02002, eq. 4.

    Args:
        logits, targets, label_smoothing: as in `cross_entropy`.
        gamma: an image with probability p of its class counts `(1 - p) ** gamma` as much; 0 is the cross-entropy.
    """
    if gamma < 0:
        raise ValueError(f"gamma is {gamma:g}, not 0 or more")
    shares = smoothed(targets, classes=logits.shape[1], label_smoothing=label_smoothing)
    logs = logits.log_softmax(1)
    # 1 - p without rounding; above 0, because the slope of a power below 1 is infinite there
    rest = (-torch.expm1(logs)).clamp(min=torch.finfo(logs.dtype).eps)
    return -(shares * rest**gamma * logs).sum(1)


def smoothed(targets: Tensor, *, classes: int, label_smoothing: float = 0.0) -> Tensor:
    """Return targets as shares `(N, K)` float32, of which `label_smoothing` is spread evenly over all classes."""
    shares = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
    return shares if not label_smoothing else shares * (1 - label_smoothing) + label_smoothing / classes


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """The `StepObjective` of a classifier that learns from targets.

    Attributes:
        function: a `resnetctl.spec.Objective`, with its own arguments.
        args: these arguments; errors name them.
        shared: names of `SHARED` that it takes.
    """

    name: str = "cross-entropy"
    function: Callable[..., Tensor] = cross_entropy
    args: Mapping[str, Scalar] = field(default_factory=dict)
    shared: tuple[str, ...] = SHARED

    def __call__(self, model: nn.Module, batch: Batch, *, plan: ObjectivePlan) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the logits, see `StepObjective`."""
        logits = model(batch.images)
        return self.loss(logits, batch.targets, plan=plan), logits

    def loss(self, logits: Tensor, targets: Tensor, *, plan: ObjectivePlan) -> Tensor:
        """Return the mean loss of logits `(N, K)`, a 0-d tensor, with the class weights of the plan."""
        arguments = {name: getattr(plan, name) for name in self.shared}
        with with_arguments("objective", self.name, args=self.args):
            with registry.guarded("objective", self.name):
                # logits in float32: in bfloat16 the sum of exponentials would be right to two digits only
                losses = self.function(logits.float(), targets, **arguments)
            if problem := complaint(losses, images=len(logits), is_mean="class_weights" in self.shared):
                raise registry.fault("objective", self.name, problem=problem)
        return losses if losses.ndim == 0 else weighted_mean(losses, targets, plan=plan)


def chosen(config: TrainConfig) -> Supervised:
    """Return the objective of the config.

    Raises:
        ConfigError: the objective does not have the arguments in `objective.args`, refuses their values, or takes no
            label smoothing.
        PluginError: the plugin fails.
    """
    name, own = config.objective.name, config.objective.args
    function = registry.get("objective", name)
    title = f"objective '{name}'"
    shared = dict.fromkeys(SHARED)
    names = keywords(function, shared=shared, args=own, key="objective.args", title=title, table="")
    if config.label_smoothing and "label_smoothing" not in names:
        raise ConfigError(f"{title} takes no label smoothing", where=Setting("label_smoothing"), hint="leave it out")
    return Supervised(
        name=name,
        function=partial(function, **{key: names[key] for key in own}) if own else function,
        args=own,
        shared=tuple(item for item in SHARED if item in names),
    )


def try_out(config: TrainConfig) -> None:
    """Call the objective of the config once, forward and backward. Raises as `chosen`."""
    objective = chosen(config)
    name, logits, targets = objective.name, torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 2])
    function, own = registry.get("objective", name), config.objective.args
    with refusable("objective", name, function=function, args=own, key="objective.args"):
        objective.function(logits, targets)
    loss = objective.loss(logits, targets, plan=TrialPlan(label_smoothing=config.label_smoothing))
    with with_arguments("objective", name, args=own):
        if not loss.requires_grad:
            raise registry.fault("objective", name, problem="its loss has no gradient")
        with registry.guarded("objective", name):
            loss.backward()  # type: ignore[no-untyped-call]


def complaint(losses: Any, *, images: int, is_mean: bool) -> str:
    """Return what is wrong with the result of an objective, "" if nothing.

    `is_mean` says whether the objective weighs the classes, and therefore takes the mean itself.
    """
    if not isinstance(losses, Tensor):
        return f"it returned {type(losses).__name__}, not a tensor"
    shape = () if is_mean else (images,)
    if tuple(losses.shape) != shape:
        return f"it returned the shape {tuple(losses.shape)}, not {shape}"
    return "" if losses.is_floating_point() else f"it returned {losses.dtype}, not float32"


def net_loss(model: nn.Module, batch: Batch, *, plan: object) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses that a network with a head names, and no logits: `(N, 0)`.

    Args:
        model: a `resnetctl.spec.Net`.
        batch: its `truth`, or else its targets, are what the network learns from.
    """
    truth = Labels(labels=batch.targets) if batch.truth is None else batch.truth
    numbers = () if batch.vectors is None else (batch.vectors,)
    losses: Mapping[str, Tensor] = model.loss(batch.images, truth, *numbers)  # type: ignore[operator]  # a Net has it
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    return total, total.detach().new_zeros(len(batch.images), 0)


def weighted_mean(losses: Tensor, targets: Tensor, *, plan: ObjectivePlan) -> Tensor:
    """Return the mean of one loss per image `(N,)`, with the weights that the cross-entropy gives to the images."""
    if plan.class_weights is None:
        return losses.mean()
    if targets.ndim == 2:
        return (losses * (targets @ plan.class_weights)).mean()
    weights = plan.class_weights[targets]
    return (losses * weights).sum() / weights.sum()
