"""The core types: plain data and protocols, shared by every layer and by plugins. Torch-free.

Everything here is frozen and keyword-only. Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, cast

if TYPE_CHECKING:
    import numpy as np
    import torch

Scalar = bool | int | float | str
Stem = Literal["auto", "cifar", "imagenet"]
Fit = Literal["crop", "pad", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Card:
    """What the frozen dataclasses here share: a JSON form that reads back equal."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars."""
        return cast("dict[str, Any]", plain(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises `TypeError` for unknown or missing keys, `ValueError` for bad values."""
        return cls(**{name: _frozen(value) for name, value in values.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by the JSON form: read-only mappings cannot be copied as they are."""
        return type(self).from_json, (self.to_json(),)

    def _put(self, **values: object) -> None:
        """Settle fields while the object is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _freeze(self, *, tuples: tuple[str, ...] = (), tables: tuple[str, ...] = ()) -> None:
        """Make these fields tuples and read-only copies. Raises `TypeError` for what is no list and no table."""
        self._put(**{name: tuple(getattr(self, name)) for name in tuples})
        self._put(**{name: MappingProxyType(dict(getattr(self, name))) for name in tables})


@dataclass(frozen=True, kw_only=True)
class Arch(Card):
    """A named ResNet configuration: pure data, so it lists, hashes, diffs and travels inside the weights.

    Args:
        block: name of the residual block in the registry.
        depths: blocks per stage, 1 to 4 stages.
        widths: base channels per stage (torchvision's `planes`).
        stem: `cifar` is a 3x3 convolution, `imagenet` a 7x7 stride 2 with pooling, `auto` is cifar up to 64 px.
        stem_width: output channels of the stem; `widths[0]` unless given.
        block_args: keyword arguments of the block.
        params: the published parameter count with 3 channels: below four stages at 10 classes, else at 1,000.
        summary, paper: one line and a reference.
    """

    name: str
    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: Stem = "auto"
    stem_width: int | None = None
    block_args: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    params: int | None = None
    summary: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        self._freeze(tuples=("depths", "widths"), tables=("block_args",))
        if not 1 <= len(self.depths) <= 4 or len(self.depths) != len(self.widths):
            raise ValueError(
                f"arch '{self.name}': depths {self.depths} and widths {self.widths} must both have 1 to 4 entries"
            )
        if min(*self.depths, *self.widths, self.stem_width or 1) < 1:
            raise ValueError(f"arch '{self.name}': depths and widths must be positive")
        if self.stem not in ("auto", "cifar", "imagenet"):
            raise ValueError(f"arch '{self.name}': stem '{self.stem}' is not auto, cifar or imagenet")

    def resolve_stem(self, size: int) -> Arch:
        """The same arch with `stem` settled for images of `size` pixels: `auto` is cifar up to 64 px."""
        if self.stem != "auto":
            return self
        return dataclasses.replace(self, stem="cifar" if size <= 64 else "imagenet")

    @property
    def reference(self) -> tuple[int, int]:
        """(classes, size) at which `params` is counted: 10 and 32 px, or 1,000 and 224 px with four stages."""
        return (1000, 224) if len(self.depths) == 4 else (10, 32)


@dataclass(frozen=True, kw_only=True)
class ImageSpec(Card):
    """All that evaluation preprocessing needs.

    An image is fitted to `resize` x `resize` (see `data.images.fit`), the central `size` x `size` is cut out,
    scaled to 0..1 and normalised with `mean` and `std` (one value a channel, in 0..1).
    """

    size: int
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    interpolation: Interpolation = "bilinear"
    resize: int = 0  # 0: the same as size
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        self._put(mean=tuple(map(float, self.mean)), std=tuple(map(float, self.std)), resize=self.resize or self.size)
        if self.size < 1 or self.resize < self.size:
            raise ValueError(f"image size {self.size} must be positive and at most resize {self.resize}")
        if not len(self.mean) == len(self.std) == self.channels >= 1:
            raise ValueError(f"mean and std need one value for each of {self.channels} channels")
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std} must be positive")


@dataclass(frozen=True, kw_only=True)
class DatasetCard(Card):
    """What is known of a dataset.

    Args:
        classes: names in label order.
        image: preprocessing that suits it; a store's card has the mean and std measured on its train split.
        splits: images per split.
        digests: SHA-256 of what the splits hold, by split name; for a plugin, of its archives by file name.
        defaults: config keys that suit it (`epochs`, `augment`, ...) and `mirror`: may images be mirrored.
        notes: what a reader should know, e.g. how a test split was made.
    """

    name: str
    classes: tuple[str, ...]
    image: ImageSpec
    splits: Mapping[str, int]
    licence: str = "unknown"
    source: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Scalar] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._freeze(tuples=("classes", "notes"), tables=("splits", "digests", "defaults"))
        if isinstance(self.image, Mapping):
            self._put(image=ImageSpec.from_json(self.image))
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"dataset '{self.name}': class names are not unique")


@dataclass(frozen=True, kw_only=True)
class Plugins(Card):
    """Distributions behind a file, `name -> version`. Loading needs `required`; resuming needs `used` too."""

    required: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(tables=("required", "used"))


@dataclass(frozen=True, kw_only=True)
class ValSplit(Card):
    """How the val split was made: `val_fraction` of train under `seed`; `digest` names the images that it has."""

    val_fraction: float
    seed: int
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightsCard(Card):
    """The self-description of a weights file. It holds no time, host, path or run name.

    Args:
        arch: embedded whole, `stem` resolved.
        classes: names in output order.
        image: preprocessing that the weights expect.
        trained_on: `{"name": dataset, "digest": of its train split}`, empty for imported weights.
        split: how val was made, None where the source has its own or none.
        metrics: what training measured, e.g. `{"epoch": 9, "val_top1": 0.91}`.
    """

    schema: int = 1
    arch: Arch
    classes: tuple[str, ...]
    image: ImageSpec
    plugins: Plugins = field(default_factory=Plugins)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    split: ValSplit | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    config_sha256: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        self._freeze(tuples=("classes",), tables=("trained_on", "metrics"))
        nested: dict[str, type[Card]] = {"arch": Arch, "image": ImageSpec, "plugins": Plugins, "split": ValSplit}
        for name, kind in nested.items():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                self._put(**{name: kind.from_json(value)})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a policy gets and gives back.

    Attributes:
        images: in: uint8 `(N, C, R, R)` at `image.resize`, channels-last strides, on the device;
            out: uint8 or float32 in 0..255 at `image.size`.
        targets: `(N,)` int64, or `(N, num_classes)` float32 after mixing.
        index: `(N,)` int64, the place of each image in the split.
        epoch, step: counters of the run.
    """

    images: torch.Tensor
    targets: torch.Tensor
    index: torch.Tensor
    epoch: int
    step: int


Transform = Callable[[Batch], Batch]  # what a policy does to every training batch


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A training-time augmentation policy.

    `build(image, num_classes)` returns a `Transform`. It draws from torch's global generators, which the engine seeds
    before each step, and never mutates its input. A policy that `mirrors` can bring a second builder, `unmirrored`;
    without one it is refused where the dataset says that mirroring changes the class.
    """

    name: str
    build: Callable[[ImageSpec, int], Transform]
    summary: str = ""
    paper: str = ""
    mirrors: bool = False
    unmirrored: Callable[[ImageSpec, int], Transform] | None = None


class Block(Protocol):
    """A residual block class, an `nn.Module` that owns its shortcut (named `downsample`).

    Maps `(N, in_channels, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`. With
    `preactivation` the trunk leaves the stem bare (no norm, no ReLU) and ends with norm and ReLU. `dropout` and
    `drop_path` reach blocks whose `__init__` names them. The trunk applies He initialisation unless the block
    defines `reset_parameters`.
    """

    expansion: ClassVar[int]
    preactivation: ClassVar[bool]

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, **block_args: Scalar) -> None: ...


class Dataset(Protocol):
    """A dataset plugin: an instance with these three members."""

    @property
    def card(self) -> DatasetCard:
        """Known before anything is fetched: classes, image size and channels, licence, source, defaults."""
        ...

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        """Make the source available, verified, and return its path.

        `source` is the user's own copy (archive or unpacked); otherwise it comes from the official address into
        `cache`. Raises `DataError` when neither is possible.
        """
        ...

    def read(self, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        """Yield `(H, W, C)` uint8 arrays with their class names, in a fixed order."""
        ...


def plain(value: Any) -> Any:
    """Return the value as JSON has it: dataclasses become dicts, tuples lists, paths text; scalars stay."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
