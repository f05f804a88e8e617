"""Facts beside the steps: `Started`, notices on settings that are rarely intended and on losses, and an estimate."""

from collections.abc import Iterator
from math import log

from torch import nn

from resnetctl import registry
from resnetctl.config.defaults import other_block
from resnetctl.config.duration import rough
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.data.split_groups import ONE_SIDED
from resnetctl.data.splits import eval_batches
from resnetctl.data.storage.windows import classes_in_shards
from resnetctl.engine import graph
from resnetctl.engine.average import decay_at, steps_to_reach
from resnetctl.engine.loop import EpochResult, TrainState
from resnetctl.engine.metrics import EvalReport, measure
from resnetctl.engine.schedule import smaller, warmup_steps
from resnetctl.facts import Doing, Notice, Started
from resnetctl.hints import Call, Setting
from resnetctl.runs import RunDir
from resnetctl.system.machine import cores_granted
from resnetctl.training.job import Job, augmentation_of
from resnetctl.training.plan import validate
from resnetctl.training.policy_schedule import until_epoch
from resnetctl.wording import counted

WHOLE_NETWORK = "compress"  # the origin of a teacher that `compress` chose: the network that it made smaller
EXPLODED = 10  # times the loss of guessing
SHOWN = 3  # parameters in a notice
MIXED = 0.7  # of the classes that a shard of shuffled images has
SHORT_SECONDS, LONG_SECONDS = 30.0, 3600.0  # no estimate below the first, advice above the second


def started(job: Job, state: TrainState, *, run: RunDir | None) -> Started:
    """Return the opening fact. `run` is None for a dry run."""
    return Started(
        run=run.path if run is not None else None,
        config=job.config,
        origins=job.origins,
        arch=job.arch,
        block=other_block(job.arch.name, job.arch.block) or "",
        params=sum(parameter.numel() for parameter in state.model.parameters()),
        image_size=job.image.size,
        train_images=len(job.train),
        val_images=len(job.val) if job.val is not None else 0,
        start_step=state.step,
        best=state.best.top1 if state.best.epoch and job.val is not None else None,
        steps=job.steps,
        steps_per_epoch=job.steps_per_epoch,
        teacher=job.teacher.arch if job.teacher is not None else "",
        sides=job.sides,
        head="" if job.head is None else job.head.name,
        primary=job.primary,
    )


def remarks(job: Job, state: TrainState) -> Iterator[Notice]:
    """Yield notices on settings that are allowed but rarely intended, and on what growing images do to val accuracy."""
    cores, images, batch = cores_granted(), len(job.train), job.config.batch_size
    if job.config.device == "cpu" and job.config.threads > cores:
        yield Notice(f"{job.config.threads} threads share {counted(cores, 'core')}, which is slower than one each")
    if batch > images:
        yield Notice(
            f"a batch of {batch:,} is more than the {images:,} training images, so an epoch is one step; "
            "a smaller batch learns more from it"
        )
    yield from (Notice(note) for note in job.store.card.notes if note.startswith(ONE_SIDED))
    vector = job.store.card.vector
    if vector is not None and (job.head is None or job.head.vector is None):
        have = f"'{job.store.card.name}' has {counted(len(vector.columns), 'number')} with each image"
        yield Notice(f"{have}, which this network does not read: it learns from the pixels alone")
    if not state.step:
        yield from _other_shortcut(job.arch.block, state.model)
        yield from _idle_parameters(job)
    yield from _sorted_shards(job)
    yield from _no_graph(job)
    yield from _late_thaw(job)
    yield from _no_second_policy(job)
    if job.teacher is not None and job.val is not None and not state.step and isinstance(job.config, FinetuneConfig):
        yield from _weak_teacher(job, student=validate(job, state.shipped).top1)
    if job.known is not None and job.known.is_small and job.config.distill.method != "hint":
        yield Notice("epochs repeat their images, so the teacher sees each of them once, before the first step")
    yield from _short_average(job)
    origin = job.origins.get("val_fraction", "default")
    if job.val is not None and job.split is None and origin != "default" and not origin.startswith("recipe "):
        yield Notice(f"'{job.store.card.name}' has its own val split, so `val_fraction` ({origin}) changes nothing")
    yield from _growing_images(job, step=state.step)


def _other_shortcut(name: str, model: nn.Module) -> Iterator[Notice]:
    """Yield a notice if a plugin's block has no `downsample`, as the rules of `plugins check` want."""
    distribution = next(iter(registry.distribution_of("block", name)), "")
    unit = next(iter(getattr(model, "layer1", ())), None)
    if distribution and unit is not None and not hasattr(unit, "downsample"):
        children = ", ".join(child for child, _ in unit.named_children())
        yield Notice(
            f"block '{name}' has no `downsample` (it has {children}): weights of torchvision do not fit its shortcut, "
            "and after a later rename neither do those of this run",
            hint=(Call("plugins check", (f"{distribution}:{name}",)),),
        )


def _idle_parameters(job: Job) -> Iterator[Notice]:
    """Yield a notice if a plugin's block has parameters that it does not use."""
    if job.idle:
        names = ", ".join(job.idle[:SHOWN]) + (f" and {len(job.idle) - SHOWN} more" if len(job.idle) > SHOWN else "")
        yield Notice(f"block '{job.arch.block}' does not use {names}: no gradient reaches them, and they never train")


def estimate(job: Job, *, seconds: float, rate: float) -> Iterator[Notice]:
    """Yield a notice on a run of `seconds` at `rate` images a second, and advice when it takes over an hour."""
    if seconds < SHORT_SECONDS:
        return
    yield Doing(f"about {rough(seconds)} for the whole run at {rate:,.0f} images/s")
    if seconds > LONG_SECONDS and job.config.epochs > 10:
        fast = f"trains 10 epochs in about {rough(seconds * 10 / job.config.epochs)}"
        yield Notice("a smaller network or a GPU makes it shorter", hint=(Setting("recipe", "fast", note=fast),))


def verdict(job: Job, state: TrainState) -> Iterator[Notice]:
    """Yield a notice at the end of a run whose student is better on val than its teacher."""
    if job.teacher is not None and job.val is not None:
        yield from _weak_teacher(job, student=state.best.top1)


def exploded(job: Job, result: EpochResult) -> Iterator[Notice]:
    """Yield a notice if the val loss, or else the train loss, of an epoch is far above that of guessing.

    In the first epoch and during warm-up the val loss is often large, and says nothing: the running averages of batch
    norm lag behind the weights.
    """
    if job.head is not None:  # its loss has another scale
        return
    losses = {"train": result.train_loss} if job.config.objective.name == "cross-entropy" and not job.teacher else {}
    warmup = warmup_steps(job.config.warmup, steps=job.steps, steps_per_epoch=job.steps_per_epoch)
    if isinstance(result.val, EvalReport) and result.step - job.steps_per_epoch >= max(warmup, 1):
        losses["val"] = result.val.loss
    guess = log(max(2, len(job.classes)))
    name, loss = max(losses.items(), key=lambda item: item[1], default=("", 0.0))
    if loss > EXPLODED * guess:
        finder = [Setting("find_lr", note="tries rising learning rates")] if type(job.config) is TrainConfig else []
        yield Notice(
            f"the {name} loss of epoch {result.epoch} is {loss:,.1f}, and guessing has {guess:.1f}: "
            f"the learning rate of {job.config.lr:g} may be too high for this network",
            hint=(
                Setting("lr", job.config.lr / 4, note="or another smaller one, in a new run"),
                *([] if job.config.warmup else [Setting("warmup", 1, note="begins with small steps")]),
                *finder,
            ),
        )


def _weak_teacher(job: Job, *, student: float) -> Iterator[Notice]:
    """Yield a notice if the teacher is worse on val than its student, and the user chose the teacher."""
    assert job.teacher is not None
    assert job.val is not None
    if job.origins.get("distill.teacher") == WHOLE_NETWORK:
        return
    predict = job.teacher.predictor(job.image)
    teacher = measure(predict, eval_batches(job.val, job.image), classes=job.classes).top1
    if teacher < student:
        yield Notice(
            f"the teacher {job.teacher.arch} has an accuracy of {teacher:.1%} on val, its student has {student:.1%}: "
            "a better teacher, or none, may help more",
            hint=(Setting("distill.weight", 0.25, note="listens more to the labels"),),
        )


def _sorted_shards(job: Job) -> Iterator[Notice]:
    """Yield a notice if the order of an epoch follows shards with images of few classes."""
    if job.config.sampler == "windowed" and job.head is None:
        has, would = classes_in_shards(job.train)
        if has < MIXED * would:
            yield Notice(
                f"a shard of '{job.store.card.name}' has {has:.1f} of {len(job.classes)} classes on average, and would "
                f"have {would:.1f} if images were stored shuffled: batches of sampler windowed mix too few classes",
                hint=(Call("data add", ("PATH",), {"shuffle": True}, note="where the dataset is made"),),
            )


def _no_graph(job: Job) -> Iterator[Notice]:
    """Yield a notice if steps are not captured as the config says, or on CUDA not as a whole, and say why."""
    if job.unused:
        yield Notice(job.unused)
    whole, augment = job.config.model_copy(update={"graph": "step"}), augmentation_of(job)
    level, reason = graph.level(whole, augment, image=job.image, device=job.device, images=job.train.images)
    if reason and level == job.config.graph:
        part = "runs without CUDA graphs" if level == "off" else "has a CUDA graph of the network only"
        yield Notice(f"a step {part}, which is slower: {reason}")


def _late_thaw(job: Job) -> Iterator[Notice]:
    """Yield a notice if the run ends before its frozen parts train."""
    after = job.config.thaw_epoch if isinstance(job.config, FinetuneConfig) else 0
    if after and after * job.steps_per_epoch >= job.steps:
        length = counted(job.epochs, "epoch")
        yield Notice(f"the frozen parts never train: thaw_epoch is {after}, and the run has {length}")


def _no_second_policy(job: Job) -> Iterator[Notice]:
    """Yield a notice if the policy never changes, although the config names an epoch or a second policy."""
    until, after = job.config.augment_until, job.config.augment_after
    if not until and after != TrainConfig().augment_after:
        yield Notice(
            f"augment_after={after} has no effect without augment_until",
            hint=(Setting("augment_until", "90%", note="changes it for the last tenth"),),
        )
    if until_epoch(job.config, epochs=job.epochs) >= job.epochs:
        length = counted(job.epochs, "epoch")
        yield Notice(f"augment_until={until} has no effect: the run has {length}")


def _short_average(job: Job) -> Iterator[Notice]:
    """Yield a notice if the decay of the moving average does not reach `ema_decay` within the run."""
    decay, steps = job.config.ema_decay, job.steps
    needed = steps_to_reach(decay)
    if decay and steps <= needed:
        yield Notice(
            f"the average of the weights ends with a decay of {decay_at(steps - 1, most=decay):.3g}, not {decay:g}: "
            f"the decay at a step is (1 + step) / (10 + step), which reaches {decay:g} after "
            f"{counted(needed, 'step')}, and this run has {counted(steps, 'step')}"
        )


def _growing_images(job: Job, *, step: int) -> Iterator[Notice]:
    """Yield what progressive resizing does from `step` on; nothing when it is off."""
    progressive, size = job.config.progressive, job.image.size
    full = job.sides[-1][0]  # the first step with images of full size
    if step < full:
        yield Notice(
            f"images grow from {job.sides[0][1]} px and reach {size} px in epoch {1 + full // job.steps_per_epoch}; "
            "val always has images of full size, so its accuracy may be low until then"
        )
    elif not full and progressive.initial_scale < 1:
        scale, unit = progressive.initial_scale, progressive.size_increment
        reason = "no step is left for smaller images"
        if smaller(scale, size=size, unit=unit) == size:
            reason = f"{scale:g} of {size} px, in multiples of {unit} px, is {size} px"
        yield Notice(f"progressive resizing does nothing here: {reason}")
