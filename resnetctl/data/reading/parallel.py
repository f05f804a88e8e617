"""Decode image files for the store and for `predict`, in this process or, for large sources, in worker processes.

Both ways call the same `decode` and give the same outcomes in the same order. Workers open image files themselves. An
archive is one stream, so this process reads its members.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from resnetctl.data.images import centre_crop, square
from resnetctl.data.reading.decode import BadImage, Pixels, open_image, to_array
from resnetctl.data.reading.plain_jpeg import Decoder, exact_decoder, plain_image
from resnetctl.data.reading.source import Item, file_size, read_file
from resnetctl.hints import Setting
from resnetctl.spec import MAX_PIXELS, Fit, Interpolation
from resnetctl.system.processes import Frame, Workers

SHARE = 16 * 2**20  # bytes of files per worker: decoding them takes longer than starting a worker, 0.3 s
PER_IMAGE = 2**13  # bytes added for each image: opening even the smallest file takes 0.1 ms
MOST_WORKERS = 16  # one process reads and writes for all workers; more would wait for it
AHEAD = 2  # chunks per worker to read ahead ...
AHEAD_FILES = 2**28  # ... while their files have at most this number of bytes
CHUNK_FILES = 2**20  # bytes of files in a chunk; a larger image is a chunk of its own
CHUNK_PIXELS = 2**22  # bytes of pixels in the answer to a chunk
CHUNK_IMAGES = 256  # images in a chunk
LARGEST_ANSWER = 2**25  # bytes of pixels: images that keep their size may be far larger than their files
OURS = ("/dev/fd/", "/proc/")  # paths below these folders mean other files in a worker


@dataclass(frozen=True, kw_only=True)
class Square:
    """The shape of every decoded image, `(resize, resize, channels)`, and how it is fitted.

    Attributes:
        resize: side in pixels; 0: every image keeps its own size.
        max_pixels: images with more pixels are bad images.
        crop: side of the central part that is kept, at most `resize`; 0: everything is kept.
        has_digest: whether the SHA-256 of each file is wanted.
        has_data: whether the bytes of each file are wanted.
    """

    channels: int
    resize: int
    fit: Fit
    max_pixels: int = MAX_PIXELS
    interpolation: Interpolation = "bilinear"
    crop: int = 0
    has_digest: bool = True
    has_data: bool = False


class Decoded(NamedTuple):
    """One image: `pixels` `(R, R, C)` uint8, and (width, height), colour, animation, SHA-256 and bytes of its file.

    R is `crop` or `resize` of the `Square`; if both are 0, the pixels have the shape (height, width, C).
    """

    pixels: Pixels
    size: tuple[int, int]
    has_colour: bool
    is_animated: bool
    sha256: str
    data: bytes = b""


Outcome = Decoded | BadImage


def decode(data: bytes, name: str, *, into: Square, decoder: Decoder | None = None) -> Outcome:
    """Return the decoded image of a file's bytes, or the error.

    Args:
        name: name of the file in the error.
        decoder: decodes plain JPEG files, to the same pixels in less time; None: Pillow decodes all.
    """
    image = None if decoder is None else plain_image(data, decoder=decoder, max_pixels=into.max_pixels)
    is_animated = False
    try:
        if image is None:
            image, is_animated = open_image(data, name, max_pixels=into.max_pixels)
    except BadImage as error:
        return error
    digest = sha256(data).hexdigest() if into.has_digest else ""
    kept = data if into.has_data else b""
    return Decoded(_shaped(image, into), image.size, image.mode != "L", is_animated, digest, kept)


def _shaped(image: Image.Image, into: Square) -> Pixels:
    if not into.resize:
        return to_array(image, into.channels)
    pixels = square(image, into.channels, resize=into.resize, fit=into.fit, interpolation=into.interpolation)
    return centre_crop(pixels, into.crop) if into.crop else pixels


class Amount(Protocol):
    """How much there is to decode: files, and their bytes."""

    @property
    def total(self) -> int: ...

    @property
    def size(self) -> int: ...


def worker_count(source: Amount, granted: int) -> int:
    """Return the number of workers for `source` on `granted` cores, by a fixed rule. 1: no extra process."""
    work = source.size + PER_IMAGE * source.total
    return max(1, min(granted, MOST_WORKERS, work // SHARE))


def workers(source: Amount, granted: int) -> Workers | nullcontext[None]:
    """Return a context manager that yields the workers for `source`, or None to decode in this process."""
    count = worker_count(source, granted)
    return Workers(count, serve=f"{__name__}:{answer.__name__}") if count > 1 else nullcontext()


def decoded(items: Iterable[Item], into: Square, *, by: Workers | None) -> Generator[tuple[Item, Outcome], None, None]:
    """Yield each item with its outcome, in order. Memory stays flat, because only a few chunks are in progress.

    Raises `WorkFailed` when a worker dies. Errors of reading `items` pass through.
    """
    if by is None:
        for item in items:
            data = _read(item.read)
            yield item, data if isinstance(data, BadImage) else decode(data, item.name, into=into)
        return
    in_progress: deque[tuple[_Chunk, Future[Frame]]] = deque()
    for chunk in _chunks(items, into):
        files = [data for _, data in chunk if not isinstance(data, BadImage)]
        where = f"{chunk[0][0].name} to {chunk[-1][0].name}"
        in_progress.append((chunk, by.ask([astuple(into), files], where=where)))
        while len(in_progress) >= AHEAD * by.count or sum(_size(chunk) for chunk, _ in in_progress) > AHEAD_FILES:
            yield from _outcomes(*in_progress.popleft(), into)
    while in_progress:
        yield from _outcomes(*in_progress.popleft(), into)


def answer(request: Frame) -> Frame:
    """Answer a request of `decoded` in a worker: return a `Decoded` in plain values for each file (bytes or path).

    For a bad image, return the message, `where` and settings of its error; `where` "" means the name of the item. None
    stands for an image that would make the answer too large: the process that asked decodes it.
    """
    values, files = request
    into = Square(**dict(zip(Square.__dataclass_fields__, values, strict=True)))
    answers: list[Frame] = []
    room = LARGEST_ANSWER
    for data in files:
        outcome = _decode_either(data, into) if room > 0 else None
        room -= outcome.pixels.nbytes + len(outcome.data) if isinstance(outcome, Decoded) else 0
        answers.append(outcome and _plain(outcome))
    return answers


_Chunk = list[tuple[Item, bytes | str | BadImage]]


def _decode_either(data: bytes | str, into: Square) -> Outcome:
    content = _read(partial(read_file, data)) if isinstance(data, str) else data
    return content if isinstance(content, BadImage) else decode(content, "", into=into, decoder=exact_decoder())


def _read(read: Callable[[], bytes]) -> bytes | BadImage:
    try:
        return read()
    except BadImage as error:
        return error


def _size(chunk: _Chunk) -> int:
    return sum(len(data) for _, data in chunk if isinstance(data, bytes))


def _chunks(items: Iterable[Item], into: Square) -> Iterator[_Chunk]:
    pixels = (into.crop or into.resize) ** 2 * into.channels
    most = max(1, min(CHUNK_IMAGES, CHUNK_PIXELS // pixels)) if pixels else CHUNK_IMAGES
    chunk: _Chunk = []
    size = 0
    for item in items:
        if isinstance(item.content, Path) and not str(item.content).startswith(OURS):
            chunk.append((item, str(item.content)))
            size += item.size if item.size >= 0 else max(0, file_size(item.content))
        else:
            data = _read(item.read)
            chunk.append((item, data))
            size += len(data) if isinstance(data, bytes) else 0
        if len(chunk) >= most or size >= CHUNK_FILES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _outcomes(chunk: _Chunk, pending: Future[Frame], into: Square) -> Iterator[tuple[Item, Outcome]]:
    answers = iter(pending.result())
    for item, data in chunk:
        if isinstance(data, BadImage):
            yield item, data
        elif (answer := next(answers)) is not None:
            yield item, _from_plain(answer, item.name, into)
        else:
            outcome = _decode_either(data, into)
            yield item, _named(outcome, item.name) if isinstance(outcome, BadImage) else outcome


def _plain(outcome: Outcome) -> Frame:
    if isinstance(outcome, BadImage):
        settings = [(hint.name, hint.value) for hint in outcome.hint if isinstance(hint, Setting)]
        return [outcome.message, outcome.where, settings]
    return (outcome.pixels.tobytes(), *outcome[1:])


def _from_plain(values: Frame, name: str, into: Square) -> Outcome:
    if isinstance(values, list):
        message, where, settings = values
        return _named(BadImage(message, where=where, hint=[Setting(*setting) for setting in settings]), name)
    width, height = values[1]
    rows, columns = (into.crop or into.resize or side for side in (height, width))
    return Decoded(np.frombuffer(values[0], np.uint8).reshape(rows, columns, into.channels), *values[1:])


def _named(error: BadImage, name: str) -> BadImage:
    error.where = error.where or name
    return error
