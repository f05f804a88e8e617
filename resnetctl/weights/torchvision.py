"""torchvision's ImageNet weights for resnet18, 34, 50, 101 and 152, from their official address.

Address, classes and preprocessing are read from the installed torchvision at run time, so they cannot go stale. The
file name ends in the first eight hex digits of the SHA-256; torchvision publishes no more.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from resnetctl import registry
from resnetctl.errors import UsageError, WeightsError, WorkFailed
from resnetctl.hints import Call, Hint, suggest
from resnetctl.spec import Arch, ImageSpec, Interpolation
from resnetctl.system import download
from resnetctl.system.installed import torchvision_remedy
from resnetctl.weights.file import LoadedWeights
from resnetctl.weights.foreign import import_weights

NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
FOLDER = ".downloads/torchvision"  # in the data folder
LIMIT = 1 << 29  # bytes; resnet152 has 242 MB
INTERPOLATIONS: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Published weights: address, digest (`sha256` may be a prefix), arch, classes and preprocessing."""

    url: str
    sha256: str
    arch: Arch
    classes: tuple[str, ...]
    image: ImageSpec


def official(name: str) -> Source:
    """Return the source of the installed torchvision's best weights for `name`, such as `resnet18`.

    Raises:
        UsageError: the name is not one of `NAMES`.
        WorkFailed: the installed torchvision cannot be imported.
    """
    if name not in NAMES:
        raise UsageError(
            f"torchvision has no weights '{name}' that resnetctl reads",
            hint=[suggest(name, NAMES), Call("finetune", (), {"weights": "torchvision:resnet18", "data": "NAME"})],
        )
    try:
        from torchvision.models import get_model_weights
    except Exception as error:  # whatever a module built for another torch raises
        raise WorkFailed(
            f"torchvision cannot be imported: {type(error).__name__}: {error}",
            hint=torchvision_remedy(error) or "pip install torchvision",
        ) from error

    weights = get_model_weights(name).DEFAULT
    return Source(
        url=weights.url,
        sha256=_published_digest(weights.url),
        arch=registry.get("arch", name),
        classes=tuple(weights.meta["categories"]),
        image=_image(weights.transforms()),
    )


def fetch(name: str, data_dir: Path, *, source: Source | None = None) -> LoadedWeights:
    """Return the weights of `name` with a card, from the cache in `data_dir` or from the official address.

    `source` replaces the official source, e.g. by a mirror.

    Raises:
        UsageError: an unknown name.
        DataError: the file cannot be downloaded or has another digest.
        WeightsError: the file does not match the arch.
    """
    source = source or official(name)
    file = source.url.rpartition("/")[2]
    remote = download.Remote(name=file, urls=(source.url,), digest=f"sha256:{source.sha256}", limit=LIMIT)
    folder = data_dir / FOLDER
    copied = {"arch": source.arch.name, "out": f"{source.arch.name}.safetensors"}
    hints: list[Hint] = [
        f"on a machine with a network, download {source.url}; then copy it to {folder / file}",
        Call("weights import", (file,), copied, note="or import a copy from any folder"),
    ]
    path = download.fetch(remote, folder, hint=hints)
    return import_weights(path, arch=source.arch, classes=source.classes, image=source.image)


def recognise(file: Path, name: str) -> Source | None:
    """Return the source of a copy of torchvision's weights; None for another file, or without torchvision."""
    if name not in NAMES or not file.is_file() or file.stat().st_size > LIMIT:
        return None
    try:
        source = official(name)
    except WorkFailed:
        return None
    return source if download.matches(file, f"sha256:{source.sha256}") else None


def _published_digest(url: str) -> str:
    """Return the digest in an address: `f37072fd` of `.../resnet18-f37072fd.pth`."""
    match = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    if match is None:
        raise WeightsError("this torchvision publishes no digest for these weights", where=url)
    return match.group(1)


def _image(transforms: object) -> ImageSpec:
    """Return the preprocessing of an `ImageClassification` preset. Refuses a crop larger than the resize."""
    preset = vars(transforms)
    return ImageSpec(
        size=preset["crop_size"][0],
        resize=preset["resize_size"][0],
        mean=tuple(preset["mean"]),
        std=tuple(preset["std"]),
        interpolation=INTERPOLATIONS[preset["interpolation"].value],
    )
