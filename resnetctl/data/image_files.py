"""Pictures in files, folders and memory, prepared for a model: for `predict` and the parity check of `export`.

Shapes: B images a batch, H rows, W columns, S pixels a side, C channels, uint8 0..255.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetctl.data.images import prepare_array, with_channels
from resnetctl.data.reading.decode import HEIF_SUFFIXES, BadImage, Pixels, has_heif, read_image
from resnetctl.data.reading.files import image_items
from resnetctl.data.reading.source import Ignored, Item
from resnetctl.spec import MAX_PIXELS, ImageSpec
from resnetctl.wording import counted, with_article

BATCH = 64  # images
Picture = str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Pixels | Image.Image


@dataclass(frozen=True, slots=True)
class Listed:
    """One picture of a list. `file` is None for a picture in memory; `content` is an error if there is no picture."""

    file: Path | None
    content: Path | bytes | Pixels | Image.Image | BadImage

    def pixels(self, spec: ImageSpec, *, max_pixels: int = MAX_PIXELS) -> Pixels | BadImage:
        """Return the picture as model input, `(S, S, C)`, or the error that says why it cannot be used."""
        picture = self.decoded(spec.channels, max_pixels=max_pixels)
        return picture if isinstance(picture, BadImage) else prepare_array(picture, spec)

    def decoded(self, channels: int, *, max_pixels: int = MAX_PIXELS) -> Pixels | BadImage:
        """Return the picture in its own size, `(H, W, channels)`, or the error that says why it cannot be used."""
        try:
            if isinstance(self.content, BadImage):
                return self.content
            if isinstance(self.content, np.ndarray):
                return with_channels(_checked(self.content), channels)
            return read_image(self.content, channels, max_pixels=max_pixels)
        except BadImage as error:
            return error


def listed(pictures: Iterable[Picture], *, ignored: Counter[str]) -> Iterator[Listed]:
    """Yield each picture in order; a folder gives all images in it and below, sorted, by the rules of `data add`.

    Args:
        pictures: paths of files, folders and archives, patterns such as `*/*.jpg`, pictures in memory and open files.
        ignored: counts the other files of the folders by reason: a suffix, "no suffix" or "hidden".
    """
    for picture in pictures:
        if isinstance(picture, str | PathLike):
            yield from (
                Listed(Path(item.name), _content(item)) for item in image_items([Path(picture)], ignored=ignored)
            )
        elif isinstance(picture, bytearray | memoryview):
            yield Listed(None, bytes(picture))
        elif isinstance(picture, bytes | np.ndarray | Image.Image):
            yield Listed(None, picture)
        elif is_file(picture):
            yield Listed(None, _read(picture))
        else:
            kinds = "a path, bytes, a file, a uint8 array or a PIL image"
            yield Listed(None, BadImage(f"an image is {kinds}, not {with_article(type(picture).__name__)}"))


def is_file(picture: object) -> bool:
    """Return whether the picture is an open file, from which its bytes can be read."""
    return callable(getattr(picture, "read", None))


def _read(file: Any) -> bytes | BadImage:
    """Return the rest of an open file, or the error that says why it gives no bytes."""
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # closed, or text that is none
        return BadImage(f"the file cannot be read: {error}")
    if not isinstance(data, bytes):
        return BadImage('the file is open as text: open it with open(path, "rb")')
    return data if data else BadImage("the file has no bytes left to read: seek(0) goes to its start")


def skipped(ignored: Mapping[str, int]) -> str:
    """Return the sentence on files that are no images, by kind, most frequent first; "" if there is none.

    It names them all if they are few, else the first.
    """
    if not ignored:
        return ""
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in Counter(ignored).most_common())
    total, names = sum(ignored.values()), ignored.names if isinstance(ignored, Ignored) else []
    line = f"skipped {counted(total, 'file')} ({kinds})"
    if names:
        line += f": {', '.join(names)}" if len(names) == total else f", the first is {names[0]}"
    is_heif = bool(HEIF_SUFFIXES & ignored.keys()) and not has_heif()
    return line + ("; install the package pillow-heif to read HEIC" if is_heif else "")


def prepared_batches(
    names: Sequence[str | Path], spec: ImageSpec, *, problems: list[str]
) -> Iterator[tuple[Pixels, list[Path]]]:
    """Yield prepared images `(B, S, S, C)` with their paths, in order.

    Args:
        names: files and folders; a folder means all images in it.
        spec: size, channels and fit of the images.
        problems: receives a line for each unreadable file and each folder without images.
    """
    paths: list[Path] = []
    images: list[Pixels] = []
    for picture in listed(names, ignored=Counter()):
        assert picture.file is not None, "names are paths"
        pixels = picture.pixels(spec)
        if isinstance(pixels, BadImage):
            problems.append(f"{picture.file}: {pixels.message}")
            continue
        paths.append(picture.file)
        images.append(pixels)
        if len(paths) == BATCH:
            yield np.stack(images), paths
            paths, images = [], []
    if paths:
        yield np.stack(images), paths


def _content(item: Item) -> Path | bytes | BadImage:
    """Return the file of an item, or what was read from an archive: its stream goes on."""
    if isinstance(item.content, Path):
        return item.content
    try:
        return item.read()
    except BadImage as error:
        return error


def _checked(image: Pixels) -> Pixels:
    """Return an array as `(H, W, C)`. Raises `BadImage` unless it is uint8 with one or three channels."""
    pixels = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        known = "an array is uint8 (H, W), (H, W, 1) or (H, W, 3)"
        raise BadImage(f"{known}, not {image.dtype} {image.shape}{_advice(image)}")
    return pixels


def _advice(image: NDArray[Any]) -> str:
    """Return what is wrong with an array that cannot be used; "" if its shape says it all."""
    if image.dtype != np.uint8:
        return ": levels are integers 0..255"
    if image.size == 0:
        return ": it has no pixels"
    return ": the channels come last" if image.ndim == 3 and image.shape[0] in (1, 3) else ""
