"""The training loop: a generator of facts. It only computes; its consumer saves, logs and shows.

The random numbers of a step follow from (seed, step), its learning rate from the step, the order of the images from
(seed, epoch). So the state of a run is its tensors and one counter, and `fit` continues from that counter.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from resnetctl import rng
from resnetctl.data.loader import Feed, batch_rows, epoch_order
from resnetctl.data.preprocess import normalise, resize
from resnetctl.engine import shares
from resnetctl.engine.average import averaged, evaluated
from resnetctl.engine.distributed import Shard, Team, step_in_shards
from resnetctl.engine.hardware.device import seed_generators
from resnetctl.engine.hardware.precision import autocast
from resnetctl.engine.metrics import EvalReport
from resnetctl.engine.objective import StepObjective, Supervised, net_loss
from resnetctl.engine.optim import LossScale, set_lr
from resnetctl.errors import NonFinite
from resnetctl.hints import Setting
from resnetctl.spec import Batch, ImageSpec, Measured


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One optimizer update. `loss` is a 0-d tensor still on the device: reading it waits for the device."""

    step: int  # updates done so far
    steps: int
    epoch: int  # 0-based
    lr: float
    loss: Tensor
    images: int
    note: str = ""  # what the user should know about this step


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch; the last one of a run may be incomplete. `epoch` counts from 1; accuracies are 0..1."""

    FIGURES = ("epoch", "train_loss", "val")
    epoch: int
    step: int
    first_lr: float  # the learning rates of the first and of the last step
    lr: float
    train_loss: float
    train_top1: float | None  # None where the task has no labels
    train_images: int
    val: EvalReport | Measured | None
    is_best: bool


@dataclass
class EpochSums:
    """Sums over the images of the current epoch, on the device: reading them would wait for it."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> "EpochSums":
        """Return the sums before the first image of an epoch."""
        dtype = torch.float32 if device.type == "mps" else torch.float64  # mps has no float64
        return cls(torch.zeros((), dtype=dtype, device=device), torch.zeros((), dtype=torch.int64, device=device))


@dataclass
class Best:
    """The best epoch on val so far, with its weights. Without a val split, the newest epoch.

    `top1` is the primary number of the task where the network is no classifier; `loss` is then 0.
    """

    epoch: int = 0
    top1: float = -1.0
    loss: float = float("inf")
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(kw_only=True)
class TrainState:
    """The state of a run: everything that a checkpoint holds and that `fit` changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: AveragedModel | None
    frozen: tuple[nn.Module, ...]
    sums: EpochSums
    best: Best
    precision: str = "fp32"
    scale: LossScale | None = None  # of fp16
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
        precision: str = "fp32",
    ) -> "TrainState":
        """Return the state before the first step. `frozen` modules keep their batch-norm statistics."""
        ema = averaged(model, decay=ema_decay) if ema_decay else None
        model.eval()  # the first step puts all but the frozen modules into training mode
        return cls(
            model=model, optimizer=optimizer, ema=ema, frozen=frozen, sums=EpochSums.zero(device), best=Best(),
            precision=precision, scale=LossScale() if precision == "fp16" else None,
        )  # fmt: skip

    @property
    def shipped(self) -> nn.Module:
        """The model that is evaluated and saved: the EMA if it is on, else the weights that the optimizer evaluates."""
        return self.ema.module if self.ema is not None else evaluated(self.model, self.optimizer)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the shipped model's parameters and buffers, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.shipped.state_dict().items()}

    def require_finite(self) -> None:
        """Raise `NonFinite` if the loss, a weight or an optimizer moment is not finite."""
        moments = [value for values in self.optimizer.state.values() for value in values.values()]
        nets = [*self.model.state_dict().values(), *(self.ema.state_dict().values() if self.ema is not None else ())]
        tensors = [self.sums.loss, *(value for value in (*nets, *moments) if _has_fractions(value))]
        if not bool(torch.stack([value.isfinite().all().to(self.sums.loss.device) for value in tensors]).all()):
            raise not_finite(self.step)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The inputs of `fit` besides the state; all of them follow from the config."""

    feed: Feed
    augment: Callable[[Batch], Batch]
    image: ImageSpec
    side: Callable[[int], int]  # side in pixels of the model's images at a step
    steps: int
    steps_per_epoch: int
    batch_size: int
    seed: int
    learning_rate: Callable[[int], float]
    sampler: Callable[..., Tensor] = epoch_order  # places of an epoch's images, from (count, seed, epoch)
    objective: StepObjective = field(default_factory=Supervised)
    class_weights: Tensor | None = None
    shards: int = 1  # parts of a batch with batch-norm statistics of their own, which processes may share
    team: Team = field(default_factory=Team)  # the processes that train
    accumulate: int = 1  # parts of a batch, or of a shard, that go through the model one by one
    label_smoothing: float = 0.0
    grad_clip: float = 0.0  # largest norm of all gradients together; 0: no limit
    precision: str = "fp32"
    early_stop: int = 0  # epochs without a better val accuracy; 0: never stop early
    thaw_step: int = 0  # the step from which frozen modules train too; 0: never
    evaluate: Callable[[nn.Module], EvalReport | Measured] | None = None
    guard: Callable[[], AbstractContextManager[None]] = nullcontext  # around the work between two facts
    # from (state, plan): what takes a step in another way, see `engine.graph`; None: `take_step`
    stepper: Callable[..., Callable[..., StepResult]] | None = None


def fit(state: TrainState, plan: Plan) -> Iterator[StepResult | EpochResult]:
    """Train from `state.step` to `plan.steps`, and yield each step and each epoch. At any yield the state may be saved.

    Raises:
        NonFinite: a loss or a weight is not finite. Raised after the step on a CPU, at the end of the epoch on other
            devices, because reading a number waits for the device. The state is then unusable; saved states are fine.
    """
    order, order_epoch = torch.empty(0, dtype=torch.int64), -1
    step_on = plan.stepper(state, plan) if plan.stepper is not None else partial(take_step, state, plan)
    while True:
        # the last step of an epoch, or of the run, is done: evaluate and start new sums
        if state.sums.images and (state.step % plan.steps_per_epoch == 0 or state.step >= plan.steps):
            with plan.guard():
                result = _finish_epoch(state, plan)
            yield result
        if state.step >= plan.steps or (plan.early_stop and state.patience >= plan.early_stop):
            return
        epoch, offset = divmod(state.step, plan.steps_per_epoch)  # from the step alone: a resume needs nothing else
        if epoch != order_epoch:  # a new permutation of all images, from (seed, epoch)
            order_epoch, order = epoch, plan.sampler(len(plan.feed), seed=plan.seed, epoch=epoch)
            order = plan.feed.placed(order, start=offset * plan.batch_size)
        with plan.guard():
            step = step_on(epoch=epoch, rows=batch_rows(order, offset, batch_size=plan.batch_size))
        yield step


def take_step(state: TrainState, plan: Plan, *, epoch: int, rows: Tensor) -> StepResult:
    """Do one optimizer update on the images in `rows` of the train split."""
    train_mode(state, plan)
    if plan.shards == 1:
        # drop the gradients of the last step, because torch adds to them; so the parts of a batch add up to the whole
        state.optimizer.zero_grad(set_to_none=True)
        whole = _forward_and_backward(state, plan, rows, epoch=epoch)
    else:
        loss, correct = step_in_shards(
            state.model,
            rows,
            shards=plan.shards,
            team=plan.team,
            compute=lambda number, part: _forward_and_backward(state, plan, part, epoch=epoch, shard=number),
        )
        whole = Shard(loss=loss, weight=1.0, correct=correct, images=len(rows))
    # fp16: divide the gradients by the scale of the loss, and skip an update whose gradients overflowed
    is_sound = state.scale is None or state.scale.unscale(state.optimizer)
    if state.scale is not None and state.scale.factor < 1:
        raise not_finite(state.step)
    # clip: if the norm of all gradients together exceeds grad_clip, scale them down to it, so that one unusual batch
    # cannot move the weights far
    if plan.grad_clip:
        nn.utils.clip_grad_norm_(state.model.parameters(), plan.grad_clip)
    # update the weights, at the learning rate of this step
    lr = plan.learning_rate(state.step)
    set_lr(state.optimizer, lr)
    if is_sound:
        state.optimizer.step()
    return finish_step(state, plan, done=whole, epoch=epoch, lr=lr)


def finish_step(state: TrainState, plan: Plan, *, done: Shard, epoch: int, lr: float) -> StepResult:
    """Average the weights after an update on the images of `done`, count its images, and return the result."""
    # move the average of the weights (EMA) a little towards the new ones: it evens out the noise of single steps
    if state.ema is not None:
        state.ema.update_parameters(state.model)
    loss = done.loss
    state.sums.loss += loss.to(state.sums.loss.dtype) * done.images
    state.sums.correct += done.correct
    state.sums.images += done.images
    state.step += 1
    # on a CPU the loss is already computed, so check it; on other devices the check would wait for the device
    if loss.device.type == "cpu" and not loss.isfinite():
        raise not_finite(state.step)
    return StepResult(step=state.step, steps=plan.steps, epoch=epoch, lr=lr, loss=loss, images=done.images)


def _forward_and_backward(
    state: TrainState, plan: Plan, rows: Tensor, *, epoch: int, shard: int | None = None
) -> Shard:
    """Add the gradients of a whole batch, or those of a shard times its weight, to those of the model."""
    # every random number of this step (augmentation, dropout) follows from the seed, the step and the shard
    seed_generators(plan.feed.device, step_seed(plan, state.step, shard=shard or 0))
    # early in progressive resizing the images are smaller than `plan.image.size`
    side = plan.side(state.step)
    batch = model_inputs(plan.augment(plan.feed.batch(rows, epoch=epoch, step=state.step)), plan.image, side=side)
    # shards are added up before the sum is divided by the weight of all, so that uneven shards count by their images
    weight = 1.0 if shard is None else shares.weight(batch.targets, plan.class_weights)
    split = shares.parts(batch, plan.accumulate, class_weights=plan.class_weights)
    results = [gradients(state, plan, batch=part, share=share * weight) for part, share in split]
    loss = torch.stack([loss for loss, _ in results]).sum()
    logits = torch.cat([logits for _, logits in results])
    return Shard(loss=loss, weight=weight, correct=shares.correct(logits, batch.targets), images=len(rows))


def step_seed(plan: Plan, step: int, *, shard: int = 0) -> int:
    """Return the seed of the random numbers of a step, or of a shard of it."""
    return rng.derive(plan.seed, "step", step, shard)


def gradients(state: TrainState, plan: Plan, *, batch: Batch, share: Tensor | float) -> tuple[Tensor, Tensor]:
    """Add the gradients of a batch with a `share` of the step's loss; return its part of the loss, and its logits."""
    # forward: autocast runs convolutions and matrix products in bfloat16 or float16, which is faster; the weights stay
    # float32, because an update is often too small to change a 16-bit number
    with autocast(batch.images.device, plan.precision):
        loss, logits = plan.objective(state.model, batch, plan=plan)
    loss = loss * share
    # backward: the gradient of the loss for each parameter. With fp16 that of a loss times a large scale: small
    # gradients would otherwise round to 0 (Micikevicius et al. 2018, arXiv:1710.03740)
    (loss if state.scale is None else loss * state.scale.factor).backward()  # type: ignore[no-untyped-call]
    return loss.detach(), logits.detach()


def model_inputs(augmented: Batch, image: ImageSpec, *, side: int) -> Batch:
    """Resize and normalise augmented images: float32 `(N, C, S, S)` for the model, S is `side`."""
    images = resize(augmented.images, side, interpolation=image.interpolation)
    truth = augmented.truth and augmented.truth.resize(image.size, size=side)
    return replace(augmented, images=normalise(images, image), truth=truth)


def not_finite(step: int) -> NonFinite:
    """Return the error for a loss or weights that are not finite after `step` steps."""
    return NonFinite(
        f"the loss or the weights are no longer finite at step {step}",
        hint=[Setting("lr", note="a smaller value, in a new run"), Setting("warmup", 5), Setting("grad_clip", 1)],
    )


def _finish_epoch(state: TrainState, plan: Plan) -> EpochResult:
    """Evaluate, remember the best weights, count patience, and begin new sums."""
    state.require_finite()
    shipped = state.shipped.eval()
    report = plan.evaluate(shipped) if plan.evaluate is not None else None
    sums = state.sums
    # best: higher accuracy, then lower loss, then the earlier epoch
    top1, loss = standing(report)
    is_best = report is None or (top1, -loss) > (state.best.top1, -state.best.loss)
    state.epochs += 1
    # the model trained on smaller images than those of val, so its val accuracy is no reason to stop yet
    is_small = plan.side(state.step - 1) < plan.image.size
    state.patience = 0 if is_best or is_small else state.patience + 1
    if is_best:
        state.best = Best(state.epochs, top1, loss, state.weights())
    state.sums = EpochSums.zero(sums.loss.device)
    return EpochResult(
        epoch=state.epochs,
        step=state.step,
        first_lr=plan.learning_rate((state.step - 1) // plan.steps_per_epoch * plan.steps_per_epoch),
        lr=plan.learning_rate(state.step - 1),
        train_loss=float(sums.loss) / sums.images,
        train_top1=None if plan.objective is net_loss else int(sums.correct) / sums.images,
        train_images=sums.images,
        val=report,
        is_best=is_best,
    )


def standing(report: EvalReport | Measured | None) -> tuple[float, float]:
    """Return what chooses the best epoch: a number that is better when higher, then one that is better when lower."""
    if report is None:
        return -1.0, float("inf")
    return (report.top1, report.loss) if isinstance(report, EvalReport) else (report.primary.value, 0.0)


def _has_fractions(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def train_mode(state: TrainState, plan: Plan) -> None:
    """Put the model into training mode, but frozen modules into eval: their batch-norm statistics must not change.

    From `plan.thaw_step` on nothing is frozen. This follows from the step, so a resume thaws at the same place.
    """
    if plan.thaw_step and state.step >= plan.thaw_step and state.frozen:
        for module in state.frozen:
            module.requires_grad_(True)
        state.frozen = ()
        state.model.train()
    if not state.model.training:
        state.model.train()
        for module in state.frozen:
            module.eval()
