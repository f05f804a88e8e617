"""What plugins implement: the types of a policy, block, init, optimizer, schedule, objective, dataset, tracker, recipe.

Imports no torch. Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from resnetctl.spec.cards import DatasetCard, Scalar, Split
from resnetctl.spec.truth import Kept, SceneTruths

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch of images: the input and the output of a policy.

    Attributes:
        images: input: uint8 `(N, C, R, R)` with R = `image.resize`, channels-last strides, on the device;
            output: uint8 or float32 in 0..255, `(N, C, S, S)` with S = `image.size`.
        targets: `(N,)` int64, or `(N, num_classes)` float32 after mixing.
        index: `(N,)` int64, the row of each image in the stored split.
        epoch, step: counters of the run, from 0. In a step that a CUDA graph repeats they are tensors, 0-d int64.
        truth: boxes or masks, in pixels of `images`, which a policy moves with the picture, or tags, which stay; None
            for classification. `targets` is then the rarest class in each image.
        vectors: `(N, D)` float32, the standardised numbers of each image, for a network that reads them. A policy that
            mixes images mixes them by the same shares.
    """

    images: torch.Tensor
    targets: torch.Tensor
    index: torch.Tensor
    epoch: int | torch.Tensor
    step: int | torch.Tensor
    truth: SceneTruths | None = None
    vectors: torch.Tensor | None = None


Transform = Callable[[Batch], Batch]  # augments one training batch


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A training-time augmentation policy.

    `build(image, num_classes)` returns a `Transform`. It draws from torch's global generators, which the engine seeds
    before each step, and never mutates its input. A policy that `mirrors` can have a second builder, `unmirrored`,
    which does not. Without it, the policy is refused on datasets whose images change their class when mirrored.

    Keyword arguments of a builder have defaults; the config sets them, e.g. `--set augment.magnitude=5`. A builder
    raises `ValueError` for a value that it cannot use.

    `moves` are the kinds of truth that stay right, besides labels: "boxes" and "masks", which it moves with the
    picture, and "tags". On data with another truth it is refused before the run. A policy with "vectors" keeps the
    numbers of the images right: it leaves them as they are, or mixes them by the shares of the targets. Another policy
    is refused for a network that reads numbers.

    A `capturable` policy may be part of a CUDA graph, which repeats its kernels without Python: its shapes are always
    the same, it reads no number of a tensor, it draws with the generator of the batch's device only, and it uses
    `epoch` and `step` as tensors only. False: it never is. By default, an attempt without numbers decides.
    """

    name: str
    build: Callable[..., Transform]
    summary: str = ""
    paper: str = ""
    mirrors: bool = False
    unmirrored: Callable[..., Transform] | None = None
    moves: tuple[Kept, ...] = ()
    capturable: bool = True


@dataclass(frozen=True, kw_only=True)
class SchedulePoint:
    """A place in a training run, from which a schedule computes the learning rate.

    Attributes:
        step: the next step, from 0; at least `warmup`.
        steps: steps of the whole run.
        warmup: steps of the linear warm-up. No schedule is asked about them.
    """

    step: int
    steps: int
    warmup: int = 0

    @property
    def done(self) -> float:
        """The share of the steps after the warm-up that are done, 0 to 1."""
        return min(1.0, (self.step - self.warmup) / max(1, self.steps - self.warmup))


class Schedule(Protocol):
    """A learning-rate schedule: a function of the point in the run, without state.

    It returns a factor in 0..1 on the peak learning rate `lr`. Its keyword arguments have defaults. Those called
    `final_lr`, `milestones` or `gamma` get the values of `[schedule]`; the others are set by `schedule.args`. It raises
    `ValueError` for values that it cannot use.
    """

    def __call__(self, point: SchedulePoint, **args: Any) -> float: ...


class Optimizer(Protocol):
    """A function that returns a `torch.optim.Optimizer` over parameter groups.

    Each group has `params`, `weight_decay` and `lr_scale`; parameters that thaw later have groups of their own. Before
    each step the engine writes `lr` into every group, so the optimizer reads `group["lr"]`. It keeps the groups and
    their keys, and its state is tensors and numbers for each parameter. Its keyword arguments have defaults, but `lr`.
    Those called `momentum`, `nesterov`, `beta1`, `beta2` or `eps` get the values of `[optim]`; the others are set by
    `optim.args`. It raises `ValueError` for values that it cannot use.

    An optimizer that evaluates other weights than it trains has a method `evaluated(parameter)`, which returns the
    tensor to evaluate and save in place of a parameter. It is then the average of the run, and `ema_decay` must be 0.
    """

    def __call__(self, groups: list[dict[str, Any]], *, lr: float, **args: Any) -> torch.optim.Optimizer: ...


class Objective(Protocol):
    """What a classifier minimises: a function of logits `(N, K)` float32 and targets, of N images and K classes.

    Targets are class numbers `(N,)` int64, or shares `(N, K)` float32 after mixing. It returns the loss of each image,
    `(N,)`, which depends on no other image; the engine weighs the classes and takes the mean. A function that names
    `class_weights` (`(K,)` float32, or None) does both, and returns the mean, 0-d.

    Its keyword arguments have defaults. `label_smoothing` gets the config's value, and a config with label smoothing is
    refused without it; the others are set by `objective.args`. It raises `ValueError` for values that it cannot use.
    """

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor, **args: Any) -> torch.Tensor: ...


class Block(Protocol):
    """A residual block: an `nn.Module` class that owns its shortcut (named `downsample`).

    It maps `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`. With
    `preactivation` the trunk leaves the stem bare (no norm, no ReLU) and ends with norm and ReLU. It applies He
    initialisation unless the block defines `reset_parameters`. A block that can begin as its shortcut names the module
    at the end of its branch in a class attribute `branch_end`, such as "bn2"; `model.zero_init` sets the weight of that
    module to zero.

    The trunk passes `dropout` and `drop_path` to blocks whose `__init__` names them, and where they are: `stage` and
    `index`, counted from 1, the latter through all stages, and `depth`, the number of blocks. A block with a choice of
    activation and norm names these submodules in class attributes, `activations = ("relu",)` and `norms = ("bn1",)`;
    `model.activation` and `model.norm` replace them. Names that a block lacks are ignored.

    A class that defines `forward` may name pairs of submodules for prediction to fold, `foldable = {"conv1": "bn1"}`:
    a convolution, and the batch norm that alone reads its output. `forward` calls both once and reads no other
    attribute of them. Names that a block lacks, and pairs that cannot be folded, are ignored. A subclass with a
    `forward` of its own declares its own pairs.

    Further keyword arguments have defaults and are set by `model.block_args`. `__init__` raises `ValueError` for
    values, or widths, that it cannot use.

    Which inner channels `compress` may remove is found by tracing `forward`. A block that cannot be traced may name the
    layers that its channels pass, `prunable = {"conv1": ("bn1", "relu", "conv2")}`: the convolution that writes them,
    then all layers up to the convolution that mixes them.
    """

    expansion: ClassVar[int]
    preactivation: ClassVar[bool]

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, **block_args: Scalar) -> None: ...


class Init(Protocol):
    """What gives a new network its first weights, from train images: a function of both, e.g. one that whitens.

    It gets the network on the CPU, in evaluation mode, with its random weights, and normalised float32 images
    `(N, C, S, S)` as evaluation sees them. It changes parameters in place, and sets `requires_grad` to False for those
    that stay as they are while the others train. The shapes stay, and which parameters train depends on the network
    alone. Random numbers come from torch's global generator: a resumed run calls it again before it reads its
    checkpoint. It raises `ValueError` for a network that it cannot start. `finetune` calls none.
    """

    def __call__(self, model: nn.Module, images: torch.Tensor) -> None: ...


Recipe = Mapping[str, Any]  # config keys with values, as the tables of a TOML file: {"epochs": 8, "optim": {..}}


class Dataset(Protocol):
    """A dataset plugin: an instance with these three members."""

    @property
    def card(self) -> DatasetCard:
        """Classes, image size and channels, licence, source and defaults, known before the data is fetched."""
        ...

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        """Return the path of the verified data.

        `source` is the user's own copy (archive or unpacked). Without it, download the data from the official address
        into `cache`. Raises `DataError` when neither is possible.
        """
        ...

    def read(self, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        """Yield `(H, W, C)` uint8 arrays with their class names, in a fixed order."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A training run as a tracker sees it.

    Attributes:
        path: the run's folder. Its name is the run's name, and other runs lie beside it.
        folder: for the files of the tracker, inside the run's folder; it exists, and a resumed run finds it again.
        config: every config key, dotted, with its value.
        epoch: finished epochs; more than 0 in a resumed run, which repeats the epochs after it.
    """

    path: Path
    folder: Path
    config: Mapping[str, Any]
    epoch: int = 0


Ending = Literal["finished", "stopped", "failed"]


class Tracking(Protocol):
    """One run that a tracker writes down."""

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of one epoch, counted from 1: those of `metrics.jsonl` and `timings.jsonl`."""
        ...

    def close(self, ending: Ending) -> None:
        """Close all files. A stopped or failed run may be resumed."""
        ...


class Tracker(Protocol):
    """A tracker: an instance that writes runs for another program, with these members.

    It has `name` and `summary` too. It writes files only, and draws no random numbers. An exception ends the tracking
    with a notice; the run goes on.
    """

    name: str
    summary: str

    def start(self, run: TrackedRun) -> Tracking:
        """Begin to write down a run, or go on with one."""
        ...
