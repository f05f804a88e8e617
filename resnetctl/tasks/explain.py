"""`explain`: maps of what a network looked at, as pictures and as arrays, with scores that say what they are worth."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.image_files import prepared_batches
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.metrics import probabilities
from resnetctl.engine.predictors import naming_block
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call, Setting, suggest
from resnetctl.report.base import Report
from resnetctl.report.overlay import overlay
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.targets import resolve
from resnetctl.trust.pictures.maps import METHODS, MapScore, Method, class_maps, enlarged, normalised, scores
from resnetctl.weights.file import load_network, newest
from resnetctl.wording import counted

if TYPE_CHECKING:
    import torch

    from resnetctl.models.resnet import ResNet
    from resnetctl.spec import WeightsCard

NAME = 60  # characters of an image's name in the name of its map: 255 bytes are allowed, and a character has up to 4


class ExplainOptions(TypedDict, total=False):
    """The options of `explain`; `Request` explains them."""

    method: Method
    stage: str
    class_: str | int | None
    out: str | Path


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to explain, and where to write it.

    Attributes:
        method: `gradcam`, `hirescam` or `layercam`.
        stage: `layer1` ..; empty: the last one.
        class_: the class of all maps, a number for a class with this name; None: the predicted one of each image.
        out: folder, created, for a picture and an array of each image.
    """

    method: Method = "gradcam"
    stage: str = ""
    class_: str | int | None = None
    out: str | Path = "maps"

    @property
    def label(self) -> str | None:
        """The name of the class."""
        return None if self.class_ is None else str(self.class_)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The map of one image: its class with the probability, the written files, and the scores of the map."""

    file: Path
    label: str
    probability: float
    picture: Path
    array: Path
    score: MapScore

    def to_json(self) -> dict[str, Any]:
        """Return the names, the probability and the scores."""
        files = {"file": str(self.file), "picture": str(self.picture), "array": str(self.array)}
        return {**files, "class": self.label, "probability": self.probability, **self.score.to_json()}


@dataclass(frozen=True, kw_only=True)
class ExplainReport(Report):
    """One map for each readable image, in order."""

    schema: ClassVar[str] = "resnetctl.explain/1"
    target: Path
    method: Method
    stage: str
    results: tuple[Explained, ...]
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield how the maps were made, and each image with its class, the scores of its map, and the picture."""
        yield from super().rows()
        for item in self.results:
            scores = f"insertion {item.score.insertion:.3f}, deletion {item.score.deletion:.3f}"
            yield str(item.file), f"{item.label} {item.probability:.1%}; {scores}; {item.picture}"

    def require(self) -> None:
        """Raise `DataError` that lists the bad files. Call it after showing the results."""
        if self.problems:
            raise DataError(f"{counted(len(self.problems), 'image')} cannot be read", problems=self.problems)

    def body(self) -> dict[str, Any]:
        """Return the document without its schema."""
        return {
            "target": str(self.target),
            "method": self.method,
            "stage": self.stage,
            "results": [item.to_json() for item in self.results],
            "problems": list(self.problems),
            "notices": list(self.notices),
        }


@dataclass(frozen=True, kw_only=True)
class _Explainer:
    net: ResNet
    card: WeightsCard
    device: torch.device
    request: Request
    stage: str

    def batch(self, images: NDArray[np.uint8], files: Sequence[Path], *, first: int) -> list[Explained]:
        """Explain images (B, S, S, C), the first of which has the number `first`, and write their files."""
        import torch

        pixels = normalised(images, self.card.image, device=self.device)
        with torch.inference_mode(), naming_block(self.net):
            logits = self.net(pixels)
        shares = probabilities(logits.float().cpu().numpy(), temperature=self.card.temperature)
        chosen = self.request.label
        labels = shares.argmax(axis=1) if chosen is None else np.full(len(images), self.card.classes.index(chosen))
        classes = torch.from_numpy(labels).to(self.device)
        how = {"method": self.request.method, "stage": self.stage}
        maps, _ = class_maps(self.net, pixels, labels=classes, **how)  # type: ignore[arg-type]
        judged = scores(self.net, pixels, labels=classes, maps=maps, **how)  # type: ignore[arg-type]
        wide = enlarged(maps, self.card.image.size)
        return [
            Explained(
                file=file,
                label=self.card.classes[labels[row]],
                probability=float(shares[row, labels[row]]),
                picture=self._write(first + row, file, overlay(images[row], wide[row]), suffix=".png"),
                array=self._write(first + row, file, _array_bytes(maps[row]), suffix=".npy"),
                score=judged[row],
            )
            for row, file in enumerate(files)
        ]

    def _write(self, number: int, file: Path, data: bytes, *, suffix: str) -> Path:
        path = Path(self.request.out) / f"{number:03d}-{file.stem[:NAME]}{suffix}"  # two folders may have equal names
        storage.write(path, data)
        return path


def explain(
    target: str | Path | None, images: Sequence[str | Path], *, settings: Settings, **options: Unpack[ExplainOptions]
) -> ExplainReport:
    """Write a map of each image: a picture with colours, and an array (H, W) float32 of the stage's size.

    Args:
        images: files, and folders of them.
        options: see `Request`.

    Raises:
        UsageError: there is no image, the target is an ONNX file, or method, stage or class is unknown.
        InputError: the target is missing or unusable, or no image can be read.
    """
    request = Request(**options)
    if not images:
        raise UsageError("there is no image to explain", hint=Call("explain", ("TARGET", "IMAGE...")))
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError(
            "an ONNX file gives no gradients", where=str(resolved.path), hint="name the run or the weights file"
        )
    card = resolved.header.card
    stage = _checked(request, card)
    device = pick_device(settings.device)
    net, header = newest(resolved.header, load_network)
    explainer = _Explainer(net=net.to(device), card=header.card, device=device, request=request, stage=stage)
    storage.require_writable(Path(request.out), hint=Setting("out", "DIR"))
    problems: list[str] = []
    results: list[Explained] = []
    for pixels, files in prepared_batches(images, card.image, problems=problems):
        storage.make_folder(Path(request.out), parents=True)
        results += explainer.batch(pixels, files, first=len(results))
    return ExplainReport(
        target=resolved.path,
        method=request.method,
        stage=stage,
        results=tuple(results),
        problems=tuple(problems),
        notices=resolved.notices,
    )


def _checked(request: Request, card: WeightsCard) -> str:
    """Return the stage. Raises `UsageError` for an unknown method, stage or class."""
    stages = [f"layer{number + 1}" for number in range(len(card.arch.depths))]
    known = {"method": (request.method, METHODS), "stage": (request.stage or stages[-1], stages)}
    if request.class_ is not None:
        known["class"] = (str(request.label), card.classes)
    for name, (value, names) in known.items():
        if value not in names:
            raise UsageError(
                f"{value!r} is no {name} of these weights", where=Setting(name), hint=suggest(value, names)
            )
    return request.stage or stages[-1]


def _array_bytes(array: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
