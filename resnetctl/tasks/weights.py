"""`weights show` and `weights import`: describe a weights file, and write one from a foreign state dict."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from resnetctl import registry
from resnetctl.config.defaults import described, final_arch
from resnetctl.config.draft import draft
from resnetctl.config.layers import Layer, layer, merge
from resnetctl.config.schema import TrainConfig
from resnetctl.data import cards
from resnetctl.errors import ConfigError, DataError, UsageError
from resnetctl.hints import Setting
from resnetctl.report.base import Report
from resnetctl.spec import Arch, ImageSpec, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.weights.file import read_header, save

if TYPE_CHECKING:
    from torch import Tensor

    from resnetctl.weights.torchvision import Source

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # buffers in the file, not trained by gradients


@dataclass(frozen=True, kw_only=True)
class WeightsReport(Report):
    """The content of a weights file.

    Attributes:
        params: numbers trained by gradients; `tensors` counts batch-norm statistics too.
        bytes, sha256: of the whole file; `state_sha256` is the digest of the tensors in the card.
        notes: sentences for the user, e.g. an assumption.
    """

    path: Path
    card: WeightsCard
    params: int
    tensors: int
    bytes: int
    sha256: str
    state_sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShowReport(WeightsReport):
    """The report of `weights show`."""

    schema: ClassVar[str] = "resnetctl.weights.show/1"


@dataclass(frozen=True, kw_only=True)
class ImportReport(WeightsReport):
    """The report of `weights import`."""

    schema: ClassVar[str] = "resnetctl.weights.import/1"


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The arguments of `weights import`. `mean` and `std` are text, `r,g,b`; `size` None: the arch's usual size.

    `model` has other keys of the model than `model.arch`, such as `model.block`.
    """

    file: Path
    arch: str
    out: Path
    data: str | None = None
    classes: Path | None = None
    size: int | None = None
    mean: str | None = None
    std: str | None = None
    model: Layer = field(default_factory=Layer)


def show(target: str | Path | None, settings: Settings) -> ShowReport:
    """Describe a weights file, or the weights of a run (None: the newest). Imports no torch.

    Raises:
        InputError: there is no such file or run.
        WeightsError: as `weights.file.read_header`.
    """
    if target is not None and Path(target).is_file():
        return ShowReport(**_contents(Path(target)))
    from resnetctl.tasks.targets import resolve

    resolved = resolve(target, settings, needs_network=False)
    return ShowReport(**_contents(resolved.path), notes=resolved.notices)


def import_file(request: ImportRequest, settings: Settings) -> ImportReport:
    """Read a foreign state dict, check it against an arch, and write it with a card to `request.out`.

    Raises:
        UsageError: the output exists, there is not exactly one of data and classes (a copy of torchvision's weights
            needs none), or mean or std are wrong.
        DataError: the dataset is not in the store, or the class file is not a list of names.
        WeightsError: the file is hostile or does not match the arch; the error lists every wrong key.
    """
    if request.out.exists():
        raise UsageError(
            "the output exists",
            where=str(request.out),
            hint=[Setting("out", "OTHER"), "or remove the file"],
        )
    from resnetctl.models.resnet import with_defaults
    from resnetctl.weights import foreign, torchvision

    given = (request.data is not None) + (request.classes is not None)
    source = torchvision.recognise(request.file, request.arch) if not given else None
    if source is None and given != 1:
        raise UsageError(
            "give either a dataset or a list of class names",
            hint=[Setting("data", "NAME"), Setting("classes", "FILE", "one class name a line")],
        )
    arch = _arch(request, settings)
    state = foreign.read_state(request.file)
    arch = with_defaults(foreign.resolve(arch, state, file=request.file))
    classes, image, notes = _described(request, settings, arch, state, source)
    adopted = foreign.adopt(state, request.file, arch=arch, classes=classes, image=image)
    save(request.out, adopted)
    return ImportReport(**_contents(request.out), notes=notes)


def _arch(request: ImportRequest, settings: Settings) -> Arch:
    """Return the arch with its keys of the model. Raises `ConfigError` for a key that describes no arch."""
    known = tuple(f"model.{key}" for key in described(registry.get("arch", request.arch)) if key != "arch")
    problems = [
        f"{key}: it describes no architecture ({request.model.origins[key]})"
        for key in request.model.values
        if not key.startswith(known)
    ]
    if problems:
        raise ConfigError(
            "these keys are not of the network in the file", problems=problems, hint=f"known: {', '.join(known)}"
        )
    asked = merge([layer({"model.arch": request.arch}, "arch"), request.model])
    return final_arch(draft(TrainConfig, [asked], settings=settings).config.model)


def read_classes(file: Path) -> tuple[str, ...]:
    """Return class names, one a line, in output order. Raises `DataError` for blank or repeated lines, or no text."""
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise DataError(f"cannot read the class names: {error.strerror}", where=str(file)) from None
    except UnicodeDecodeError:
        raise DataError("the class names are not UTF-8 text", where=str(file)) from None
    names = tuple(line.strip() for line in lines)
    problems = [f"line {number}: empty" for number, name in enumerate(names, 1) if not name]
    first_lines: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name and first_lines.setdefault(name, number) != number:
            problems.append(f"line {number}: '{name}' is on line {first_lines[name]} too")
    if problems or not names:
        raise DataError("the file must have one class name a line", where=str(file), problems=problems or ["no names"])
    return names


def _contents(path: Path) -> dict[str, Any]:
    """Return the fields of a `WeightsReport` except the notes."""
    header = read_header(path)
    trained = (info.shape for name, info in header.layout.tensors.items() if not name.endswith(STATISTICS))
    return {
        "path": path,
        "card": header.card,
        "params": sum(map(math.prod, trained)),
        "tensors": len(header.layout.tensors),
        "bytes": path.stat().st_size,
        "sha256": storage.sha256(path),
        "state_sha256": header.sha256,
    }


def _described(
    request: ImportRequest, settings: Settings, arch: Arch, state: "dict[str, Tensor]", source: "Source | None"
) -> tuple[tuple[str, ...], ImageSpec, tuple[str, ...]]:
    """Return classes, preprocessing and notes: the source's, the dataset's, or of class file and first convolution."""
    from resnetctl.weights.foreign import input_channels

    if source is not None:
        return source.classes, _overridden(source.image, request), ("these are torchvision's published weights",)
    if request.data is not None:
        card = cards.read_card(settings.data_dir, request.data)
        return card.classes, _overridden(card.image, request), ()
    assert request.classes is not None, "import_file checked this"
    classes = read_classes(request.classes)
    image = _usual_image(arch, input_channels(state, request.file))
    values = f"mean {_joined(image.mean)} and std {_joined(image.std)}"
    assumed = f"{values} are assumed; import again with mean and std to change them"
    return classes, _overridden(image, request), (assumed,) if request.mean is None else ()


def _usual_image(arch: Arch, channels: int) -> ImageSpec:
    """Return the usual preprocessing: ImageNet's mean and std for colour, 256 px cropped to 224 for large photos."""
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels, (0.25,) * channels)
    size, resize = (224, 256) if arch.stem == "imagenet" else (32, 32)
    return ImageSpec(size=size, resize=resize, channels=channels, mean=mean, std=std)


def _overridden(image: ImageSpec, request: ImportRequest) -> ImageSpec:
    if (request.mean is None) != (request.std is None):
        raise UsageError(
            "mean and std must be given together",
            hint=[Setting("mean", _joined(IMAGENET_MEAN)), Setting("std", _joined(IMAGENET_STD))],
        )
    changes: dict[str, Any] = {}
    if request.mean is not None and request.std is not None:
        changes |= {"mean": _numbers(request.mean, "mean"), "std": _numbers(request.std, "std")}
    if request.size:
        changes |= {"size": request.size, "resize": request.size}
    try:
        return dataclasses.replace(image, **changes)
    except ValueError as error:
        raise UsageError(str(error), where=", ".join(name for name in changes if name != "resize")) from None


def _numbers(text: str, name: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"'{text}' is not a list of numbers", where=Setting(name), hint=Setting(name, "0.5,0.5,0.5")
        ) from None
    if not all(map(math.isfinite, values)):
        raise UsageError(f"'{text}' must be finite", where=Setting(name))
    return values


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
