"""Decode image files for the store, in this process or, for large sources, in worker processes.

Both ways call the same `decode` and give the same outcomes in the same order. Workers open image files themselves. An
archive is one stream, so this process reads its members.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnetctl.data.images import square
from resnetctl.data.reading.decode import BadImage, Pixels, open_image
from resnetctl.data.reading.source import Item, Source, file_size, read_file
from resnetctl.hints import Setting
from resnetctl.spec import MAX_PIXELS, Fit
from resnetctl.system.processes import Frame, Workers

SHARE = 16 * 2**20  # bytes of files per worker: decoding them takes longer than starting a worker, 0.3 s
PER_IMAGE = 2**13  # bytes added for each image: opening even the smallest file takes 0.1 ms
MOST_WORKERS = 16  # one process reads and writes for all workers; more would wait for it
AHEAD = 2  # chunks per worker to read ahead ...
AHEAD_FILES = 2**28  # ... while their files have at most this number of bytes
CHUNK_FILES = 2**20  # bytes of files in a chunk; a larger image is a chunk of its own
CHUNK_PIXELS = 2**22  # bytes of pixels in the answer to a chunk
CHUNK_IMAGES = 256  # images in a chunk
OURS = ("/dev/fd/", "/proc/")  # paths below these folders mean other files in a worker


@dataclass(frozen=True, kw_only=True)
class Square:
    """The shape of every decoded image, `(resize, resize, channels)`, and how it is fitted.

    Images with more than `max_pixels` pixels are bad images.
    """

    channels: int
    resize: int
    fit: Fit
    max_pixels: int = MAX_PIXELS


class Decoded(NamedTuple):
    """One image: `pixels` `(R, R, C)` uint8, and (width, height), colour, animation and SHA-256 of its file."""

    pixels: Pixels
    size: tuple[int, int]
    has_colour: bool
    is_animated: bool
    sha256: str


Outcome = Decoded | BadImage


def decode(data: bytes, name: str, *, into: Square) -> Outcome:
    """Return the decoded image of a file's bytes, or the error. `name` is its name in the error."""
    try:
        image, is_animated = open_image(data, name, max_pixels=into.max_pixels)
    except BadImage as error:
        return error
    pixels = square(image, into.channels, resize=into.resize, fit=into.fit)
    return Decoded(pixels, image.size, image.mode != "L", is_animated, sha256(data).hexdigest())


def worker_count(source: Source, granted: int) -> int:
    """Return the number of workers for `source` on `granted` cores, by a fixed rule. 1: no extra process."""
    work = source.size + PER_IMAGE * source.total
    return max(1, min(granted, MOST_WORKERS, work // SHARE))


def workers(source: Source, granted: int) -> Workers | nullcontext[None]:
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
        in_progress.append((chunk, by.ask([into.channels, into.resize, into.fit, into.max_pixels, files], where=where)))
        while len(in_progress) >= AHEAD * by.count or sum(_size(chunk) for chunk, _ in in_progress) > AHEAD_FILES:
            yield from _outcomes(*in_progress.popleft(), into)
    while in_progress:
        yield from _outcomes(*in_progress.popleft(), into)


def answer(request: Frame) -> Frame:
    """Answer a request of `decoded` in a worker: return a `Decoded` in plain values for each file (bytes or path).

    For a bad image, return the message, `where` and settings of its error; `where` "" means the name of the item.
    """
    channels, resize, fit, max_pixels, files = request
    into = Square(channels=channels, resize=resize, fit=fit, max_pixels=max_pixels)
    return [_plain(_decode_either(data, into)) for data in files]


_Chunk = list[tuple[Item, bytes | str | BadImage]]


def _decode_either(data: bytes | str, into: Square) -> Outcome:
    content = _read(partial(read_file, Path(data))) if isinstance(data, str) else data
    return content if isinstance(content, BadImage) else decode(content, "", into=into)


def _read(read: Callable[[], bytes]) -> bytes | BadImage:
    try:
        return read()
    except BadImage as error:
        return error


def _size(chunk: _Chunk) -> int:
    return sum(len(data) for _, data in chunk if isinstance(data, bytes))


def _chunks(items: Iterable[Item], into: Square) -> Iterator[_Chunk]:
    most = max(1, min(CHUNK_IMAGES, CHUNK_PIXELS // (into.resize**2 * into.channels)))
    chunk: _Chunk = []
    size = 0
    for item in items:
        if isinstance(item.content, Path) and not str(item.content).startswith(OURS):
            chunk.append((item, str(item.content)))
            size += max(0, file_size(item.content))
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
        yield item, data if isinstance(data, BadImage) else _from_plain(next(answers), item.name, into)


def _plain(outcome: Outcome) -> Frame:
    if isinstance(outcome, BadImage):
        settings = [(hint.name, hint.value) for hint in outcome.hint if isinstance(hint, Setting)]
        return [outcome.message, outcome.where, settings]
    return (outcome.pixels.tobytes(), *outcome[1:])


def _from_plain(values: Frame, name: str, into: Square) -> Outcome:
    if isinstance(values, list):
        message, where, settings = values
        return BadImage(message, where=where or name, hint=[Setting(*setting) for setting in settings])
    pixels = np.frombuffer(values[0], np.uint8).reshape(into.resize, into.resize, into.channels)
    return Decoded(pixels, *values[1:])
