"""What `predict` is asked: the network, and how its pictures are read."""

from collections.abc import Sequence
from pathlib import Path

from resnetctl.data.reading.parallel import Square
from resnetctl.data.reading.source import why_ignored
from resnetctl.errors import InputError, ResnetctlError, UsageError
from resnetctl.hints import Call
from resnetctl.spec import ImageSpec
from resnetctl.system.settings import Settings
from resnetctl.tasks.targets import Target, resolve


def resolve_for(target: str | Path | None, images: Sequence[str | Path], *, settings: Settings) -> Target:
    """Return the target. Raises as `predicting`: also when there is no image, or the target is one."""
    if not images:
        raise UsageError("there is no image to classify", hint=Call("predict", ("TARGET", "IMAGE...")))
    try:
        return resolve(target, settings)
    except InputError:
        if target is None or not _is_image(target):
            raise
        raise _no_target(target, images, settings=settings) from None


def square_for(image: ImageSpec, *, is_own: bool, max_pixels: int) -> Square:
    """Return how files are decoded for a network: as `data.images.prepare`, or, if `is_own`, in their own size."""
    return Square(
        channels=image.channels,
        resize=0 if is_own else image.resize,
        fit=image.fit,
        max_pixels=max_pixels,
        interpolation=image.interpolation,
        crop=0 if is_own else image.size,
        has_digest=False,
    )


def _no_target(target: str | Path, images: Sequence[str | Path], *, settings: Settings) -> UsageError:
    """Return the error for images without a target, or with the target behind them. Raises if that is missing."""
    for word in images:
        if Path(word).suffix in (".safetensors", ".onnx"):
            resolve(word, settings)
    net = next((word for word in images if _is_target(word, settings)), None)
    words = tuple(str(word) for word in (target, *images) if word is not net)
    dashes = ("--",) if any(word.startswith("-") for word in words) else ()
    more = ("...",) if len(words) > 2 else ()
    return UsageError(
        "the first argument must be a run, a weights file or an ONNX file",
        where=str(target),
        hint=Call("predict", ("last" if net is None else net, *dashes, *words[:2], *more)),
    )


def _is_target(word: str | Path, settings: Settings) -> bool:
    """Return whether a network has this name or path."""
    try:
        return not _is_image(word) and resolve(word, settings).path.is_file()
    except ResnetctlError:
        return False


def _is_image(target: str | Path) -> bool:
    return not why_ignored((Path(target).name,)) and not Path(target).is_dir()
