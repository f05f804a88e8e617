"""What plugins implement: the types of a policy, a block, an optimizer, a schedule and a dataset.

Imports no torch. Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from resnetctl.spec.cards import DatasetCard, Scalar, Split
from resnetctl.spec.truth import Boxes, Masks, TruthKind

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch of images: the input and the output of a policy.

    Attributes:
        images: input: uint8 `(N, C, R, R)` with R = `image.resize`, channels-last strides, on the device;
            output: uint8 or float32 in 0..255, `(N, C, S, S)` with S = `image.size`.
        targets: `(N,)` int64, or `(N, num_classes)` float32 after mixing.
        index: `(N,)` int64, the row of each image in the stored split.
        epoch, step: counters of the run, from 0.
        truth: boxes or masks, in pixels of `images`, which a policy moves with the picture; None for classification.
            `targets` is then the rarest class in each image.
    """

    images: torch.Tensor
    targets: torch.Tensor
    index: torch.Tensor
    epoch: int
    step: int
    truth: Boxes | Masks | None = None


Transform = Callable[[Batch], Batch]  # augments one training batch


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A training-time augmentation policy.

    `build(image, num_classes)` returns a `Transform`. It draws from torch's global generators, which the engine seeds
    before each step, and never mutates its input. A policy that `mirrors` can have a second builder, `unmirrored`,
    which does not. Without it, the policy is refused on datasets whose images change their class when mirrored.

    Keyword arguments of a builder have defaults; the config sets them, e.g. `--set augment.magnitude=5`. A builder
    raises `ValueError` for a value that it cannot use.

    `moves` are the kinds of truth that it moves with the picture, besides labels: "boxes", "masks". On data with
    another truth it is refused before the run.
    """

    name: str
    build: Callable[..., Transform]
    summary: str = ""
    paper: str = ""
    mirrors: bool = False
    unmirrored: Callable[..., Transform] | None = None
    moves: tuple[TruthKind, ...] = ()


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
    `final_lr`, `milestones` or `gamma` get the values of `[schedule]`; the others are set by `schedule.args`.
    """

    def __call__(self, point: SchedulePoint, **args: Any) -> float: ...


class Optimizer(Protocol):
    """A function that returns a `torch.optim.Optimizer` over parameter groups.

    Each group has `params`, `weight_decay` and `lr_scale`; parameters that thaw later have groups of their own. Before
    each step the engine writes `lr` into every group, so the optimizer reads `group["lr"]`. It keeps the groups and
    their keys, and its state is tensors and numbers for each parameter. Its keyword arguments have defaults, but `lr`.
    Those called `momentum`, `nesterov`, `beta1`, `beta2` or `eps` get the values of `[optim]`; the others are set by
    `optim.args`.
    """

    def __call__(self, groups: list[dict[str, Any]], *, lr: float, **args: Any) -> torch.optim.Optimizer: ...


class Block(Protocol):
    """A residual block: an `nn.Module` class that owns its shortcut (named `downsample`).

    It maps `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`. With
    `preactivation` the trunk leaves the stem bare (no norm, no ReLU) and ends with norm and ReLU. The trunk passes
    `dropout` and `drop_path` to blocks whose `__init__` names them. It applies He initialisation unless the block
    defines `reset_parameters`. A block that can begin as its shortcut names the module at the end of its branch in a
    class attribute `branch_end`, such as "bn2"; `model.zero_init` sets the weight of that module to zero.

    A class that defines `forward` may name pairs of submodules for prediction to fold, `foldable = {"conv1": "bn1"}`:
    a convolution, and the batch norm that alone reads its output. `forward` calls both once and reads no other
    attribute of them. Names that a block lacks, and pairs that cannot be folded, are ignored. A subclass with a
    `forward` of its own declares its own pairs.

    Which inner channels `compress` may remove is found by tracing `forward`. A block that cannot be traced may name the
    layers that its channels pass, `prunable = {"conv1": ("bn1", "relu", "conv2")}`: the convolution that writes them,
    then all layers up to the convolution that mixes them.
    """

    expansion: ClassVar[int]
    preactivation: ClassVar[bool]

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, **block_args: Scalar) -> None: ...


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
