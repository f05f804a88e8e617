"""The training loop: a generator of facts. It computes and nothing else; whoever consumes it saves, logs and shows.

Randomness is a function of (seed, step), the learning rate of the step, the order of (seed, epoch). So the state of a
run is its tensors and one counter, and `fit` goes on from wherever that counter stands.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnetctl import rng
from resnetctl.data.loader import Feed, batch_rows, epoch_order, normalise, resize
from resnetctl.engine.metrics import EvalReport
from resnetctl.engine.optim import set_lr
from resnetctl.errors import NonFinite
from resnetctl.spec import Batch, ImageSpec


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One optimizer update. `loss` is a 0-d tensor still on the device: reading it waits for the device."""

    step: int  # updates done so far
    steps: int
    epoch: int  # 0-based
    lr: float
    loss: Tensor
    images: int


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch, or what the run had of its last one. `epoch` counts from 1; fractions are 0..1."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_top1: float
    train_images: int
    val: EvalReport | None
    is_best: bool


@dataclass
class EpochSums:
    """What the epoch has added up so far, on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> "EpochSums":
        wide = torch.float32 if device.type == "mps" else torch.float64
        return cls(torch.zeros((), dtype=wide, device=device), torch.zeros((), dtype=torch.int64, device=device))


@dataclass
class Best:
    """The best epoch on val so far, with its weights; without val, the newest epoch."""

    epoch: int = 0
    top1: float = -1.0
    loss: float = float("inf")
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(kw_only=True)
class TrainState:
    """The one mutable thing: all that a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: AveragedModel | None
    frozen: tuple[nn.Module, ...]
    sums: EpochSums
    best: Best
    step: int = 0
    epochs: int = 0  # finished
    patience: int = 0  # epochs since the best one

    @classmethod
    def fresh(
        cls,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        ema_decay: float = 0.0,
        frozen: tuple[nn.Module, ...] = (),
    ) -> "TrainState":
        """The state before the first step. `frozen` modules keep their batch-norm statistics."""
        average = get_ema_multi_avg_fn(ema_decay)  # type: ignore[no-untyped-call]
        ema = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if ema_decay else None
        model.eval()  # the first step switches to training, and leaves what is frozen in eval
        return cls(
            model=model, optimizer=optimizer, ema=ema, frozen=frozen, sums=EpochSums.zero(device), best=Best()
        )  # fmt: skip

    @property
    def shipped(self) -> nn.Module:
        """The model that is evaluated and saved: the EMA where it is on."""
        return self.ema.module if self.ema is not None else self.model

    def weights(self) -> dict[str, Tensor]:
        """A copy of the shipped model's parameters and buffers, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.shipped.state_dict().items()}

    def require_finite(self) -> None:
        """Raise `NonFinite` when the loss or a number that would be saved is not finite."""
        moments = [value for values in self.optimizer.state.values() for value in values.values()]
        nets = [*self.model.state_dict().values(), *(self.ema.state_dict().values() if self.ema is not None else ())]
        tensors = [self.sums.loss, *(value for value in (*nets, *moments) if _has_fractions(value))]
        if not bool(torch.stack([value.isfinite().all().to(self.sums.loss.device) for value in tensors]).all()):
            raise not_finite(self.step)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `fit` needs besides the state: all of it follows from the config."""

    feed: Feed
    augment: Callable[[Batch], Batch]
    image: ImageSpec
    side: Callable[[int], int]  # pixels a side of the images that the model gets at a step
    steps: int
    steps_per_epoch: int
    batch_size: int
    seed: int
    learning_rate: Callable[[int], float]
    label_smoothing: float = 0.0
    grad_clip: float = 0.0
    bf16: bool = False
    early_stop: int = 0
    evaluate: Callable[[nn.Module], EvalReport] | None = None


def fit(state: TrainState, plan: Plan) -> Iterator[StepResult | EpochResult]:
    """Train from `state.step` to `plan.steps`; the state is consistent whenever a fact is yielded.

    Raises:
        NonFinite: after the step on a CPU, at the epoch's end elsewhere, because looking at a number waits for the
            device. The state is spoilt then; what was saved before is not.
    """
    order, order_epoch = torch.empty(0, dtype=torch.int64), -1
    while True:
        if state.sums.images and (state.step % plan.steps_per_epoch == 0 or state.step >= plan.steps):
            yield _finish_epoch(state, plan)
        if state.step >= plan.steps or (plan.early_stop and state.patience >= plan.early_stop):
            return
        epoch, offset = divmod(state.step, plan.steps_per_epoch)
        if epoch != order_epoch:
            order, order_epoch = epoch_order(len(plan.feed), plan.seed, epoch=epoch), epoch
        yield _step(state, plan, epoch, batch_rows(order, offset, batch_size=plan.batch_size))


def _step(state: TrainState, plan: Plan, epoch: int, rows: Tensor) -> StepResult:
    _train_mode(state)
    _seed(plan.feed.device, rng.derive(plan.seed, "step", state.step, 0))
    batch = plan.augment(plan.feed.batch(rows, epoch=epoch, step=state.step))
    images = resize(batch.images, plan.side(state.step), interpolation=plan.image.interpolation)
    images = normalise(images, plan.image)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=plan.bf16):
        logits = state.model(images)
        loss = nn.functional.cross_entropy(logits.float(), batch.targets, label_smoothing=plan.label_smoothing)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if plan.grad_clip:
        nn.utils.clip_grad_norm_(state.model.parameters(), plan.grad_clip)
    lr = plan.learning_rate(state.step)
    set_lr(state.optimizer, lr)
    state.optimizer.step()
    if state.ema is not None:
        state.ema.update_parameters(state.model)
    _add(state.sums, loss.detach(), logits.detach(), batch.targets)
    state.step += 1
    if loss.device.type == "cpu" and not loss.isfinite():
        raise not_finite(state.step)
    return StepResult(
        step=state.step, steps=plan.steps, epoch=epoch, lr=lr, loss=loss.detach(), images=len(rows)
    )  # fmt: skip


def not_finite(step: int) -> NonFinite:
    """The error for numbers that were found spoilt after `step` steps."""
    return NonFinite(
        f"the loss or the weights are no longer finite at step {step}",
        hint="a new run with a smaller --lr, --warmup 5 or --grad-clip 1",
    )


def _finish_epoch(state: TrainState, plan: Plan) -> EpochResult:
    state.require_finite()
    state.shipped.eval()
    report = plan.evaluate(state.shipped) if plan.evaluate is not None else None
    sums = state.sums
    is_best = report is None or (report.top1, -report.loss) > (state.best.top1, -state.best.loss)
    state.epochs += 1
    is_small = plan.side(state.step - 1) < plan.image.size  # val is not, so its numbers say little yet
    state.patience = 0 if is_best or is_small else state.patience + 1
    if is_best:
        top1, loss = (report.top1, report.loss) if report is not None else (-1.0, float("inf"))
        state.best = Best(state.epochs, top1, loss, state.weights())
    state.sums = EpochSums.zero(sums.loss.device)
    return EpochResult(
        epoch=state.epochs,
        step=state.step,
        lr=plan.learning_rate(state.step - 1),
        train_loss=float(sums.loss) / sums.images,
        train_top1=int(sums.correct) / sums.images,
        train_images=sums.images,
        val=report,
        is_best=is_best,
    )


def _has_fractions(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _seed(device: torch.device, seed: int) -> None:
    """Seed the generator that draws on `device`, and all others where there are others that might.

    `torch.manual_seed` also prepares those of devices that are not there, with a stack trace for each: 1 ms a step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _train_mode(state: TrainState) -> None:
    if not state.model.training:
        state.model.train()
        for module in state.frozen:
            module.eval()


def _add(sums: EpochSums, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
    truth = targets if targets.ndim == 1 else targets.argmax(1)
    sums.loss += loss.to(sums.loss.dtype) * len(targets)
    sums.correct += (logits.argmax(1) == truth).sum()
    sums.images += len(targets)
