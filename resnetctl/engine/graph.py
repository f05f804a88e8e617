"""Training steps as CUDA graphs: the GPU repeats the kernels of a step, and Python launches one thing instead of 300.

A graph repeats kernels with the numbers and the addresses of its capture. So all that changes from step to step lies in
tensors that are filled before each replay: places of the images, epoch, step, and a learning rate for each group of
parameters. The generators are seeded before a replay as before an eager step. Both give the same bits.

Outside of the graph stay what costs little there and would be easy to get wrong inside: the average of the weights, the
sums of the epoch, and the copy of the loss.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnetctl import registry
from resnetctl.config.schema import TrainConfig
from resnetctl.data.loader import Feed, fits
from resnetctl.engine import shares
from resnetctl.engine.distributed import Shard
from resnetctl.engine.hardware.device import seed_generators
from resnetctl.engine.loop import (
    Plan,
    StepResult,
    TrainState,
    finish_step,
    gradients,
    model_inputs,
    step_seed,
    take_step,
    train_mode,
)
from resnetctl.engine.optim import build_optimizer, rates_from, set_lr
from resnetctl.errors import is_out_of_memory, own_line
from resnetctl.spec import Batch, ImageSpec, Transform

if TYPE_CHECKING:
    from resnetctl.data.store import Images

Level = Literal["step", "network"]  # what is captured: the whole step, or all after the policy
LEVELS = ("step", "network", "off")  # from the fastest to the slowest
NUMBERLESS = "meta"  # torch's device without numbers: it stands for a GPU that must not be read
TRIAL_IMAGES = 7
READS = "it reads a number of a tensor"
REFUSALS = {  # what torch says on a device without numbers
    "cannot be called on meta tensors": READS,
    "data-independent implementation": "the shape of a result depends on numbers",
}


class Graph(Protocol):
    """The part of `torch.cuda.CUDAGraph` that is used."""

    def replay(self) -> None: ...


class Capture(Protocol):
    """Returns a context that records the work inside `with` into a graph, without doing it."""

    def __call__(self) -> AbstractContextManager[Graph]: ...


def cuda_capture(device: torch.device) -> Capture:
    """Return the capture of a CUDA device. Each graph has memory of its own."""

    @contextlib.contextmanager
    def capture() -> Iterator[Graph]:
        graph = torch.cuda.CUDAGraph()
        with contextlib.ExitStack() as stack:
            # without a device and a stream of it, torch would capture the work of its current device
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(torch.cuda.stream(torch.cuda.current_stream(device)))  # comes back if it fails
            stack.enter_context(torch.cuda.graph(graph, stream=torch.cuda.Stream(device)))  # type: ignore[no-untyped-call]
            yield graph

    return capture


@dataclass
class _Form:
    """The steps whose inputs have one form: `inputs` is their static memory. The first step has no graph yet."""

    inputs: tuple[Tensor, ...]
    graph: Graph | None = None
    is_warm: bool = False


class Captured:
    """Takes the steps of one state by graphs, a graph for each form: number of images, and side of the images.

    The first step of a form runs eagerly: it makes constants and the momentum, and loads kernels. Graphs are forgotten
    when the images grow or frozen modules thaw. If a capture fails, all further steps are eager, and the result of the
    step says so.
    """

    def __init__(self, state: TrainState, plan: Plan, *, level: Level, capture: Capture) -> None:
        """Begin at the state's step. Load a checkpoint into the state before, not after."""
        self._state, self._plan, self._level, self._capture = state, plan, level, capture
        device = plan.feed.device
        self._epoch, self._step, self._correct = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(3))
        self._loss = torch.zeros((), device=device)
        # kernels of CUDA read a rate as float32, those of the CPU as float64: see `set_lr`
        dtype = torch.float32 if device.type == "cuda" else torch.float64
        self._rates = [torch.zeros((), dtype=dtype, device=device) for _ in state.optimizer.param_groups]
        self._forms: dict[object, _Form] = {}
        self._shape: object = None  # what all graphs depend on
        self._is_off = False

    def __call__(self, *, epoch: int, rows: Tensor) -> StepResult:
        """Do one optimizer update on the images in `rows` of the train split, as `take_step` does."""
        state, plan = self._state, self._plan
        if self._is_off:
            return take_step(state, plan, epoch=epoch, rows=rows)
        train_mode(state, plan)
        lr = self._fill(epoch)
        seed_generators(plan.feed.device, step_seed(plan, state.step))
        form = self._form_of(self._inputs(epoch, rows))
        work = partial(self._work, form.inputs, side=plan.side(state.step))
        if form.graph is None and form.is_warm:
            try:
                form.graph = self._captured(work)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                return self._give_up(error, epoch=epoch, rows=rows)
        if form.graph is not None:
            form.graph.replay()
        else:
            work()
            form.is_warm = True
        # the next replay overwrites the loss, and somebody may read it later
        done = Shard(loss=self._loss.clone(), weight=1.0, correct=self._correct, images=len(rows))
        return finish_step(state, plan, done=done, epoch=epoch, lr=lr)

    def _fill(self, epoch: int) -> float:
        """Write the numbers of this step into their tensors; return the learning rate."""
        state = self._state
        self._epoch.fill_(epoch)
        self._step.fill_(state.step)
        lr = self._plan.learning_rate(state.step)
        set_lr(state.optimizer, lr)  # a checkpoint has them as numbers
        for group, rate in zip(state.optimizer.param_groups, self._rates, strict=True):
            rate.fill_(group["lr"])
        return lr

    def _inputs(self, epoch: int, rows: Tensor) -> tuple[Tensor, ...]:
        """Return what the captured part of the step works on: the places of the images, or what the policy made."""
        if self._level == "step":
            return (rows,)
        batch = self._plan.augment(self._plan.feed.batch(rows, epoch=epoch, step=self._state.step))
        return batch.images, batch.targets, batch.index

    def _form_of(self, inputs: tuple[Tensor, ...]) -> _Form:
        """Return the form of these inputs, which are copied into its static memory."""
        shape = self._plan.side(self._state.step), len(self._state.frozen)
        if shape != self._shape:
            self._forms, self._shape = {}, shape
        key = tuple((values.shape, values.dtype) for values in inputs)
        if key not in self._forms:
            self._forms[key] = _Form(tuple(torch.empty_like(values) for values in inputs))
        form = self._forms[key]
        for static, values in zip(form.inputs, inputs, strict=True):
            static.copy_(values)
        return form

    def _captured(self, work: Callable[[], None]) -> Graph:
        self._state.optimizer.zero_grad(set_to_none=True)  # gradients of an eager step do not belong to the graph
        cause: list[Exception] = []
        try:
            with self._capture() as graph:
                try:
                    work()
                except Exception as error:
                    cause.append(error)
                    raise
        except Exception as error:  # CUDA reports the end of a broken capture too, which says nothing about the cause
            raise next(iter(cause), error) from None
        return graph

    def _work(self, inputs: tuple[Tensor, ...], *, side: int) -> None:
        """Do what a graph repeats: gather and augment, or begin with augmented images, up to the new weights."""
        state, plan = self._state, self._plan
        # epoch and step are tensors here: a number would stay what it was in the capture
        epoch, step = self._epoch, self._step
        if self._level == "step":
            batch = plan.augment(plan.feed.batch(*inputs, epoch=epoch, step=step))
        else:
            images, targets, index = inputs
            batch = Batch(images=images, targets=targets, index=index, epoch=epoch, step=step)
        state.optimizer.zero_grad(set_to_none=True)
        batch = model_inputs(batch, plan.image, side=side)
        loss, logits = gradients(state, plan, batch=batch, share=1.0)
        if plan.grad_clip:
            nn.utils.clip_grad_norm_(state.model.parameters(), plan.grad_clip)
        with rates_from(state.optimizer, self._rates):
            state.optimizer.step()
        self._loss.copy_(loss)
        self._correct.copy_(shares.correct(logits, batch.targets))

    def _give_up(self, error: Exception, *, epoch: int, rows: Tensor) -> StepResult:
        self._is_off, self._forms = True, {}
        reason = str(error).strip().partition("\n")[0][:200]
        result = take_step(self._state, self._plan, epoch=epoch, rows=rows)
        return replace(result, note=f"the step cannot be captured as a CUDA graph, so it runs eagerly: {reason}")


def level(
    config: TrainConfig, augment: Transform, *, image: ImageSpec, device: torch.device, images: "Images"
) -> tuple[str, str]:
    """Return which of `LEVELS` a run has, and the reason if it has less than the config asks for, else "".

    Args:
        augment: the policy of the run.
        images: those of the train split.
    """
    if device.type != "cuda" or config.graph == "off":
        return "off", ""
    most, reason = _highest(config, augment, image=image, device=device, images=images)
    if config.graph != "auto" and LEVELS.index(config.graph) >= LEVELS.index(most):
        return config.graph, ""
    return most, reason


def _highest(
    config: TrainConfig, augment: Transform, *, image: ImageSpec, device: torch.device, images: "Images"
) -> tuple[str, str]:
    """Return the highest of `LEVELS` that is possible, and why it is not the first one."""
    for is_so, reason in (
        (bool(config.model.head), f"head '{config.model.head}' learns from truth whose size changes"),
        (bool(config.distill.teacher), "the run has a teacher"),
        (config.precision == "fp16", "the loss scale of fp16 is read in each step"),
        (config.shards > 1, "the batch has shards"),
        (config.accumulate > 1, "gradients are accumulated"),
        *((True, f"{kind} '{name}' does not say that it is capturable") for kind, name in _undeclared(config)),
        (not _steps_alike(config), f"optimizer '{config.optim.name}' does not say that it is capturable"),
    ):
        if is_so:
            return "off", reason
    if not fits(images, device):
        return "network", "the images do not fit into the memory of the GPU"
    names = [config.augment, *([config.augment_after] if config.augment_until else [])]
    refused = [name for name in names if not registry.get("policy", name).capturable]
    reason = f"policy '{refused[0]}' is not capturable" if refused else why_eager(augment, image)
    return ("network", f"the policy runs eagerly: {reason}") if reason else ("step", "")


def stepper(level: str, feed: Feed) -> Callable[[TrainState, Plan], Captured] | None:
    """Return the `Plan.stepper` of a level, None for "off". Images that come from the CPU are never captured."""
    if level == "off" or feed.device.type != "cuda":
        return None
    part: Level = "step" if level == "step" and feed.is_resident else "network"
    return partial(Captured, level=part, capture=cuda_capture(feed.device))


def why_eager(augment: Transform, image: ImageSpec) -> str:
    """Return why a policy cannot be part of a graph, with the line of its code; "" if it can.

    The policy runs twice on a device without numbers, where reading one is an error. The first time may make constants.
    """
    side, channels = image.resize, image.channels
    pixels = torch.empty((TRIAL_IMAGES, side, side, channels), dtype=torch.uint8, device=NUMBERLESS)
    rows, count = (torch.empty(shape, dtype=torch.int64, device=NUMBERLESS) for shape in ((TRIAL_IMAGES,), ()))
    batch = Batch(images=pixels.permute(0, 3, 1, 2), targets=rows, index=rows.clone(), epoch=count, step=count.clone())
    drawn = random.getstate(), str(np.random.get_state())
    try:
        augment(batch)
        with _NoHost():  # type: ignore[no-untyped-call]
            augment(batch)
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        place, reason = own_line(cause), str(cause).strip().partition("\n")[0][:200]
        reason = next((ours for theirs, ours in REFUSALS.items() if theirs in reason), reason)
        return f"{reason} (at {place})" if place else reason
    return "" if drawn == (random.getstate(), str(np.random.get_state())) else "it draws from random or numpy.random"


class _NoHost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises `RuntimeError` for what a graph would keep from its capture: numbers and draws of the CPU."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        devices = {item.device.type for item in tree_leaves((args, kwargs, result)) if isinstance(item, Tensor)}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError(READS)
        if "copy" in str(function) and len(devices) > 1:
            raise RuntimeError("it copies between the CPU and the GPU")
        if torch.Tag.nondeterministic_seeded in function.tags and devices != {NUMBERLESS}:
            raise RuntimeError("it draws on the CPU")
        return result


def _undeclared(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield block and objective of plugins that may keep numbers of Python, which a graph would repeat."""
    for kind, name in (("block", config.model.block), ("objective", config.objective.name)):
        if name and registry.distribution_of(kind, name) and not getattr(registry.get(kind, name), "capturable", False):
            yield kind, name


def _steps_alike(config: TrainConfig) -> bool:
    """Return whether each step of the optimizer does the same kernels: those of the core, others if they say so."""
    if not registry.distribution_of("optimizer", config.optim.name):
        return True
    groups = build_optimizer(nn.Conv2d(3, 4, 3), config, head=()).param_groups
    return all(bool(group.get("capturable")) for group in groups)
