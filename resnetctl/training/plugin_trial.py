"""Try a plugin's block, policy, optimizer, schedule and objective before a run, and name them if they fail in it.

Without the trial a mistake would show after hours, or look like ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import traceback
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl import registry
from resnetctl.config.arguments import with_arguments
from resnetctl.config.schema import ScheduleConfig, TrainConfig
from resnetctl.data import policies
from resnetctl.engine import objective
from resnetctl.engine.average import averages
from resnetctl.engine.inplace import is_inplace, line_of_change
from resnetctl.engine.optim import build_optimizer, set_lr
from resnetctl.engine.schedule import factors
from resnetctl.errors import ConfigError, PluginError, UsageError, WorkFailed, is_out_of_memory
from resnetctl.hints import Setting
from resnetctl.models.resnet import build, minimum_size
from resnetctl.registry import Kind
from resnetctl.spec import Arch, Batch, ImageSpec, Scalar, SchedulePoint, Transform
from resnetctl.weights.unstored import loose_modules, plain_tensors

DEPTH = 2  # blocks a stage, at most: the first may halve the image, the others are alike
SIDE = 64  # pixels, at most: a block that works on small images works on large ones
COUNTS = (4, 2, 16)  # images of the batches
OUT_OF_PLACE = (
    "write `x = x + y`, not `x += y`, and no inplace=True, for what may be the block's input or is used again"
)
ORDERLESS = "does not have a deterministic implementation"  # in torch's error
SCHEDULE_STEPS = 7  # of the run for which a schedule is tried
MODEL = ("resnetctl.models.", "torch.autograd")  # modules of the forward and the backward pass
OPTIMIZER = "torch.optim."  # wraps the step of every optimizer


def try_plugins(arch: Arch, config: TrainConfig, *, image: ImageSpec, classes: int, mirror: bool) -> list[str]:
    """Use the plugins of a config on random images, and train the block. Does not try what belongs to the core.

    Returns the parameters of the block, such as `conv1.weight`, that no gradient reaches: the block does not use them.
    Restores torch's random state, because a plugin's module may draw or seed random numbers on import.

    Raises:
        ConfigError: the optimizer, the schedule or the objective does not have an argument of the config.
        PluginError: the plugin raises, returns wrong values, cannot be trained, or keeps weights outside its state
            dict.
    """
    idle: list[str] = []
    with torch.random.fork_rng(devices=[]):
        if registry.distribution_of("block", arch.block):
            with with_arguments("block", arch.block, args=arch.block_args):
                idle = _try_block(arch, image=image, classes=classes)
        _try_policy(config, image=image, classes=classes, mirror=mirror)
        _try_optimizer(config)
        _try_schedule(config.schedule)
        objective.try_out(config)
    return idle


@contextlib.contextmanager
def explained(arch: Arch, config: TrainConfig) -> Iterator[None]:
    """Turn an exception inside a training step into an error that names the plugin or the lack of memory.

    A plugin's policy is guarded where it is called. What is left comes from the block or the optimizer, or from what
    the policy gave.
    """
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, images=config.batch_size) from error
        if registry.passes(error):
            raise
        if ORDERLESS in str(error):
            raise _not_exact(error) from error
        modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
        kinds: tuple[Kind, ...] = ("policy", "block")
        if any(name.startswith(OPTIMIZER) for name in modules):
            kinds = ("optimizer",)
        elif any(name.startswith(MODEL) for name in modules):
            kinds = ("block",)
        parts: dict[Kind, tuple[str, Mapping[str, Scalar]]] = {
            "policy": (config.augment, config.augment_args),
            "block": (arch.block, arch.block_args),
            "optimizer": (config.optim.name, config.optim.args),
        }
        for kind in kinds:
            name, args = parts[kind]
            if registry.distribution_of(kind, name):
                with with_arguments(kind, name, args=args):
                    raise registry.failure(kind, name, error=error) from error
        raise


def _not_exact(error: BaseException) -> UsageError:
    """Return the error for an operation that has no exact kernel on CUDA, in a run with `exact`."""
    operation = str(error).partition(" ")[0]
    return UsageError(
        f"{operation} has no kernel on CUDA that gives the same bits every time",
        where=Setting("exact"),
        hint=[Setting("exact", False), Setting("device", "cpu", note="repeats bit for bit")],
    )


def out_of_memory(error: BaseException, *, images: int) -> WorkFailed:
    """Return the error for a training step of `images` images that did not fit into memory."""
    wanted = re.search(r"tried to allocate (\d+) bytes|[Tt]ried to allocate ([\d.]+ \w+)", str(error))
    more = ""
    if wanted is not None:
        more = f": torch asked for {wanted[2] or f'{int(wanted[1]) / 1e9:,.1f} GB'} more"
    smaller = Setting("batch_size", max(1, images // 2), note="needs about half of the memory")
    parts = Setting(
        "accumulate", 2, note="or another number of parts: the batch stays, batch norm sees each part alone"
    )
    return WorkFailed(f"there is not enough memory for steps of {images:,} images{more}", hint=[smaller, parts])


def _try_block(arch: Arch, *, image: ImageSpec, classes: int) -> list[str]:
    """Train two small networks of the block; return the names of the parameters that it does not use."""
    name, idle = arch.block, list[str]()
    arch = dataclasses.replace(arch, depths=tuple(min(depth, DEPTH) for depth in arch.depths))
    size = max(minimum_size(arch), min(SIDE, image.size))
    image = dataclasses.replace(image, size=size, resize=size)
    images = torch.rand(max(COUNTS), image.channels, size, size)

    # Two networks with different first weights and one state dict: they differ if the state dict lacks a weight.
    def logits(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=classes, image=image)
        _require_registered(model, name)
        _require_finite_state(model, name)
        if state is None:
            _train(model, images, classes=classes)
            unused = [key for key, item in model.named_parameters() if item.requires_grad and item.grad is None]
            idle.extend(dict.fromkeys(key.split(".", 2)[-1] for key in unused))  # of `layer1.0.conv1.weight`
        else:
            model.train()(images)
            model.load_state_dict(state)
        return model.eval()(images), model.state_dict()

    with _guarded_block(arch, lambda: build(arch, classes=classes, image=image).train()(images[: COUNTS[0]])):
        first, state = logits(1)
        with torch.no_grad():
            second, _ = logits(2, state)
    if not first.isfinite().all():
        raise registry.fault("block", name, problem="its output is not finite on ordinary images")
    if (first - second).abs().max() > 1e-4 * first.abs().max():
        differ = "two networks with the same weights differ: its state dict lacks some weights"
        raise registry.fault("block", name, problem=differ)
    return idle


def _require_registered(model: nn.Module, block: str) -> None:
    """Raise `PluginError` if a block has weights that the network does not know: they neither train nor are stored."""
    for name, container in loose_modules(model):
        own = name.split(".", 2)[-1]  # of `layer1.0.branches`
        raise registry.fault(
            "block", block, problem=f"'{own}' has modules that the network does not know: use {container}"
        )
    for name, value in plain_tensors(model):
        if value.requires_grad and value.is_leaf:
            problem = f"'{name.split('.', 2)[-1]}' is a tensor with a gradient, and no parameter: use nn.Parameter"
            raise registry.fault("block", block, problem=problem)


def _require_finite_state(model: nn.Module, block: str) -> None:
    """Raise `PluginError` if a new network has a parameter or a stored buffer that is not finite."""
    bad = [key for key, item in model.state_dict().items() if item.is_floating_point() and not item.isfinite().all()]
    if bad:
        more = f", nor are {len(bad) - 1:,} others," if len(bad) > 1 else ""
        raise registry.fault("block", block, problem=f"'{bad[0]}' is not finite{more} before the first step")


@contextlib.contextmanager
def _guarded_block(arch: Arch, forward: Callable[[], object]) -> Iterator[None]:
    """Guard calls of a plugin's block. An in-place mistake is found by `forward`, which calls a new network once."""
    try:
        with registry.guarded("block", arch.block):
            yield
    except PluginError as error:
        cause = error.__cause__
        if cause is None or not is_inplace(cause):
            raise
        place = line_of_change(forward)
        problem = "it changes a tensor in place that the backward pass needs"
        fault = registry.fault("block", arch.block, problem=problem, line=place)
        raise PluginError(fault.message, where=fault.where, hint=[OUT_OF_PLACE, *fault.hint]) from cause


def _train(model: nn.Module, images: Tensor, *, classes: int) -> None:
    """Run the forward and the backward pass on batches of several sizes. Keeps the weights."""
    model.train()
    for count in COUNTS:
        loss = F.cross_entropy(model(images[:count]), torch.arange(count) % classes)
        loss.backward()  # type: ignore[no-untyped-call]


def _try_policy(config: TrainConfig, *, image: ImageSpec, classes: int, mirror: bool) -> None:
    """Create the policies of the config, and apply those of plugins to a few batches."""
    augment = policies.augmentation(config.augment, image, num_classes=classes, mirror=mirror, args=config.augment_args)
    with with_arguments("policy", config.augment, args=config.augment_args):
        _apply(config.augment, augment, image=image, classes=classes)
    if config.augment_until:
        then = policies.augmentation(config.augment_after, image, num_classes=classes, mirror=mirror)
        _apply(config.augment_after, then, image=image, classes=classes)


def _apply(name: str, augment: Transform, *, image: ImageSpec, classes: int) -> None:
    """Apply a plugin's policy to batches of several sizes."""
    if not registry.distribution_of("policy", name):
        return
    for step, count in enumerate(COUNTS):
        batch = _random_batch(count, image=image, classes=classes, step=step)
        kept = batch.images.clone()
        for problem in policies.complaints(batch, augment(batch), image=image, classes=classes).values():
            raise registry.fault("policy", name, problem=problem)
        if not torch.equal(batch.images, kept):
            raise registry.fault("policy", name, problem="it changed its input images")


def _try_optimizer(config: TrainConfig) -> None:
    """Create the optimizer of the config for a small layer, and take a step if it is a plugin's."""
    layer, name = nn.Conv2d(3, 4, 3), config.optim.name
    optimizer = build_optimizer(layer, config, head=())
    if config.ema_decay and averages(optimizer):
        raise ConfigError(
            f"optimizer '{name}' averages the weights itself",
            where=Setting("ema_decay", config.ema_decay),
            hint=Setting("ema_decay", 0),
        )
    if registry.distribution_of("optimizer", name):
        layer(torch.randn(2, 3, 4, 4)).square().sum().backward()
        set_lr(optimizer, config.lr)
        with with_arguments("optimizer", name, args=config.optim.args), registry.guarded("optimizer", name):
            optimizer.step()


def _try_schedule(schedule: ScheduleConfig) -> None:
    factor = factors(schedule)
    for step in range(SCHEDULE_STEPS):
        factor(SchedulePoint(step=step, steps=SCHEDULE_STEPS))


def _random_batch(count: int, *, image: ImageSpec, classes: int, step: int) -> Batch:
    pixels = torch.randint(0, 256, (count, image.resize, image.resize, image.channels), dtype=torch.uint8)
    rows = torch.arange(count)
    return Batch(images=pixels.permute(0, 3, 1, 2), targets=rows % classes, index=rows, epoch=step, step=step)
