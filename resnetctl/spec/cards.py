"""Cards: frozen data classes that describe archs, images, datasets and weights, with a JSON form. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from resnetctl.spec.base import Card, without
from resnetctl.spec.calibration import Calibration
from resnetctl.spec.truth import TRUTHS, TruthKind
from resnetctl.spec.vectors import VectorSpec

Scalar = bool | int | float | str
MAX_PIXELS = 50_000_000  # of one image file, by default: 150 MB when decoded
Stem = Literal["auto", "cifar", "imagenet"]
Fit = Literal["crop", "pad", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Storage = Literal["raw", "jpeg"]
Activation = Literal["relu", "relu6", "leaky-relu", "elu", "silu", "gelu", "hardswish", "mish"]
Norm = Literal["batch", "group"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")  # PEP 508
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,98}|\??")  # PEP 440, more or less; "?": not known
MAX_SIZE, MAX_CHANNELS, MAX_WIDTH = 8192, 1024, 1 << 16


@dataclass(frozen=True, kw_only=True)
class Arch(Card):
    """A named ResNet configuration: plain data that can be listed, hashed, compared and stored with the weights.

    Args:
        block: name of the residual block in the registry.
        depths: blocks per stage, 1 to 4 stages.
        widths: base channels per stage (torchvision's `planes`).
        stem: `cifar`: a 3x3 convolution; `imagenet`: a 7x7 convolution with stride 2, then pooling; `auto`: `cifar` up
            to 64 pixels, else `imagenet`.
        stem_width: output channels of the stem; None: `widths[0]`.
        block_args: keyword arguments of the block.
        activation, norm: those of stem, blocks and end; "": what the block has, with ReLU and batch norm in the stem.
        params: the published parameter count for 3 channels, with 1,000 classes at four stages, else 10 classes.
        summary, paper: one line and a reference.
    """

    name: str
    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: Stem = "auto"
    stem_width: int | None = None
    block_args: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    activation: str = ""
    norm: str = ""
    params: int | None = None
    summary: str = ""
    paper: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; without `activation` and `norm` where they are those of the block."""
        return without(without(super().to_json(), "activation", default=""), "norm", default="")

    def __post_init__(self) -> None:
        self._freeze(tuples=("depths", "widths"), tables=("block_args",))
        if not 1 <= len(self.depths) <= 4 or len(self.depths) != len(self.widths):
            raise ValueError(
                f"arch '{self.name}': depths {self.depths} and widths {self.widths} must both have 1 to 4 entries"
            )
        if min(*self.depths, *self.widths, self.stem_width or 1) < 1:
            raise ValueError(f"arch '{self.name}': depths and widths must be positive")
        if max(*self.depths, *self.widths, self.stem_width or 1) > MAX_WIDTH:
            raise ValueError(f"arch '{self.name}': the largest depth and width is {MAX_WIDTH}")
        if self.stem not in ("auto", "cifar", "imagenet"):
            raise ValueError(f"arch '{self.name}': stem '{self.stem}' is not auto, cifar or imagenet")
        for name, known in (("activation", get_args(Activation)), ("norm", get_args(Norm))):
            if getattr(self, name) not in ("", *known):
                raise ValueError(f"arch '{self.name}': {name} '{getattr(self, name)}' is not {' or '.join(known)}")

    def resolve_stem(self, size: int) -> Arch:
        """Return the arch with a resolved `stem` for `size` pixels: `auto` is `cifar` up to 64, else `imagenet`."""
        if self.stem != "auto":
            return self
        return dataclasses.replace(self, stem="cifar" if size <= 64 else "imagenet")

    @property
    def reference(self) -> tuple[int, int]:
        """(classes, image size) for which `params` is counted: (1000, 224) with four stages, else (10, 32)."""
        return (1000, 224) if len(self.depths) == 4 else (10, 32)


@dataclass(frozen=True, kw_only=True)
class ImageSpec(Card):
    """The preprocessing of images for evaluation.

    An image is fitted into a square of `resize` pixels (see `data.images.fit`), and the central `size` x `size` pixels
    are cut out. They are scaled to 0..1 and normalised with `mean` and `std` (one value per channel, in 0..1).
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
        if self.resize > MAX_SIZE or self.channels > MAX_CHANNELS:
            raise ValueError(f"the limits are {MAX_SIZE} px and {MAX_CHANNELS} channels")
        if not len(self.mean) == len(self.std) == self.channels >= 1:
            raise ValueError(f"mean and std need one value for each of {self.channels} channels")
        if min(self.std) <= 0 or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError("mean and std must be numbers, and std must be positive")
        if self.interpolation not in get_args(Interpolation) or self.fit not in get_args(Fit):
            raise ValueError(f"interpolation '{self.interpolation}' or fit '{self.fit}' is not known")


@dataclass(frozen=True, kw_only=True)
class DatasetCard(Card):
    """The description of a dataset.

    Args:
        classes: names in label order.
        image: preprocessing for this dataset; in the store, with mean and std measured on the train split.
        splits: images per split.
        digests: SHA-256 of the split files, by split, and of `manifest.jsonl` where files are stored; in a plugin,
            digests of the archives, by file name.
        defaults: config values for this dataset (`epochs`, `augment`, ...), and `mirror`: whether mirroring keeps the
            class of an image.
        notes: remarks for the user, e.g. how the test split was made.
        truth: what is known of each image: its label, boxes, or a mask.
        storage: the form in the store: pixels, or image files as they came, which are decoded when they are read.
        vector: the numbers that come with each image; None without numbers.
        remote: address of the folder with the shards of files, which are fetched when they are read; "": they are here.
        replaced: digests of the train splits of datasets that this one replaced, none of whose train images is in test;
            true: they are all in train.
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
    truth: TruthKind = "labels"
    storage: Storage = "raw"
    vector: VectorSpec | None = None
    remote: str = ""
    replaced: Mapping[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without `truth` of labels, `storage` of raw pixels, and what is absent."""
        document = super().to_json()
        usual: dict[str, Any] = {"truth": "labels", "storage": "raw", "vector": None, "remote": "", "replaced": {}}
        for key, default in usual.items():
            document = without(document, key, default=default)
        return document

    def __post_init__(self) -> None:
        self._freeze(tuples=("classes", "notes"), tables=("splits", "digests", "defaults", "replaced"))
        if isinstance(self.image, Mapping):
            self._put(image=ImageSpec.from_json(self.image))
        if isinstance(self.vector, Mapping):
            self._put(vector=VectorSpec.from_json(self.vector))
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"dataset '{self.name}': class names are not unique")
        if self.truth not in TRUTHS:
            raise ValueError(f"dataset '{self.name}': truth '{self.truth}' is not {' or '.join(TRUTHS)}")
        if self.storage not in get_args(Storage):
            raise ValueError(f"dataset '{self.name}': storage '{self.storage}' is not {' or '.join(get_args(Storage))}")
        if self.remote and self.storage != "jpeg":
            raise ValueError(f"dataset '{self.name}': only files can stay on a server, and it has pixels")


@dataclass(frozen=True, kw_only=True)
class Plugins(Card):
    """Plugin distributions of a file, `name -> version`. Loading it needs `required`; resuming also needs `used`."""

    required: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(tables=("required", "used"))
        for name, version in {**self.required, **self.used}.items():  # they end up in a line to paste into a shell
            if not (DISTRIBUTION.fullmatch(name) and VERSION.fullmatch(version)):
                raise ValueError(f"'{name[:40]}' {version[:20]} is not the name and version of a distribution")


@dataclass(frozen=True, kw_only=True)
class ValSplit(Card):
    """How the val split was drawn: `val_fraction` of train with `seed`, which is `split_seed` in the config.

    `digest` identifies its images.
    """

    val_fraction: float
    seed: int
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class HeadCard(Card):
    """The head of a network: its name, its task, the arguments that built it, and the numbers that it reads.

    `args` are those of the config, and those that were fitted to train, such as anchors. `vector` is None for a head
    that reads the image alone.
    """

    name: str
    task: str
    args: Mapping[str, Any] = field(default_factory=dict)
    vector: VectorSpec | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; without `vector` where the image is all."""
        return without(super().to_json(), "vector", default=None)

    def __post_init__(self) -> None:
        self._freeze(tables=("args",))
        if isinstance(self.vector, Mapping):
            self._put(vector=VectorSpec.from_json(self.vector))


NOTHING: Mapping[str, str] = MappingProxyType({"name": "", "digest": ""})


@dataclass(frozen=True, kw_only=True)
class WeightsCard(Card):
    """The description inside a weights file. It has no time, host, path or run name.

    Args:
        arch: the whole arch, with `stem` resolved.
        classes: names in output order.
        image: preprocessing that the weights expect.
        trained_on: `{"name": dataset, "digest": digest of its train split}`; empty for imported weights, and `NOTHING`
            before any training.
        split: how val was drawn from train; None if the dataset has its own val split, or val is off.
        metrics: measured during training, e.g. `{"epoch": 9, "val_top1": 0.91}`.
        calibration: temperature, prediction sets and what is familiar; None if val had too few images.
        teacher: the network that taught it, e.g. `{"arch": "resnet56", "sha256": digest, "method": "kd"}`; or empty.
        head: the head of the network; None: the classifier of the arch.
        channels: `(in, out, groups)` of each layer that is narrower than in the arch, by its name.
        val_seen: whether the weights that the training began with may have learned images of val.
    """

    schema: int = 1
    arch: Arch
    classes: tuple[str, ...]
    image: ImageSpec
    plugins: Plugins = field(default_factory=Plugins)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    split: ValSplit | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None
    teacher: Mapping[str, str] = field(default_factory=dict)
    config_sha256: str = ""
    version: str = ""
    head: HeadCard | None = None
    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    val_seen: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; `head`, `channels` and `val_seen` are left out where they say nothing."""
        parts = {"head": self.head, "calibration": self.calibration}
        card = super().to_json() | {name: part and part.to_json() for name, part in parts.items()}
        for key, default in (("head", None), ("channels", {}), ("val_seen", False)):
            card = without(card, key, default=default)
        return card

    def __post_init__(self) -> None:
        self._freeze(tuples=("classes",), tables=("trained_on", "metrics", "teacher"))
        self._put(channels=MappingProxyType({name: tuple(shape) for name, shape in self.channels.items()}))
        if not self.classes:
            raise ValueError("'classes' is empty")
        kinds: tuple[type[Card], ...] = (Arch, ImageSpec, Plugins, ValSplit, Calibration, HeadCard)
        for name, kind in zip(("arch", "image", "plugins", "split", "calibration", "head"), kinds, strict=True):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                self._put(**{name: kind.from_json(value)})
        if self.thresholds and len(self.thresholds) != len(self.classes):
            raise ValueError(f"'thresholds' has {len(self.thresholds)} numbers for {len(self.classes)} classes")

    @property
    def temperature(self) -> float:
        """The temperature of the probabilities, 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The probability from which each class is an answer; () where val chose none."""
        return () if self.calibration is None else self.calibration.thresholds

    @property
    def vector(self) -> VectorSpec | None:
        """The numbers that the network reads with each image; None: it reads the image alone."""
        return None if self.head is None else self.head.vector

    @property
    def task(self) -> str:
        """The task that the network answers."""
        return "classify" if self.head is None else self.head.task
