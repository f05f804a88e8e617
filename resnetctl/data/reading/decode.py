"""Image files to what the store takes of them: in this process, or by workers when there is much to decode.

Both ways run the same `decode` and give the same outcomes in the same order; whoever consumes them cannot tell them
apart. An archive is one stream, so its members are read here, also for workers; those open files of their own.
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

from resnetctl.data.images import BadImage, Pixels, open_image, square
from resnetctl.data.reading.source import Item, Source, file_size, read_file
from resnetctl.spec import Fit
from resnetctl.system.processes import Frame, Workers

SHARE = 16 * 2**20  # bytes of files that make up for starting a worker: 0.3 s
PER_IMAGE = 2**13  # bytes that an image counts beside its own: opening the smallest file costs 0.1 ms
MOST_WORKERS = 16  # one process reads and writes for all: more would wait for it
AHEAD = 2  # chunks for each worker that are read before their outcomes are asked for ...
AHEAD_FILES = 2**28  # ... unless the files in them are more bytes than this: then one after the other
CHUNK_FILES = 2**20  # bytes of files in a chunk ...
CHUNK_PIXELS = 2**22  # ... of pixels in its answer ...
CHUNK_IMAGES = 256  # ... and images; a larger image is a chunk of its own
OURS = ("/dev/fd/", "/proc/")  # names below these mean something else to a worker


@dataclass(frozen=True, kw_only=True)
class Square:
    """What every image becomes: `(resize, resize, channels)`."""

    channels: int
    resize: int
    fit: Fit


class Decoded(NamedTuple):
    """One image: `pixels` `(R, R, C)`, and of the file its (width, height), colour, more frames than one, SHA-256."""

    pixels: Pixels
    size: tuple[int, int]
    has_colour: bool
    is_animated: bool
    sha256: str


Outcome = Decoded | BadImage


def decode(data: bytes, name: str, *, into: Square) -> Outcome:
    """The image in a file of the bytes `data`, or why there is none; `name` is what the error calls it."""
    try:
        image, is_animated = open_image(data, name)
    except BadImage as error:
        return error
    pixels = square(image, into.channels, resize=into.resize, fit=into.fit)
    return Decoded(pixels, image.size, image.mode != "L", is_animated, sha256(data).hexdigest())


def worker_count(source: Source, granted: int) -> int:
    """How many workers decode `source` on `granted` cores, by a fixed rule: 1 is this process alone."""
    work = source.size + PER_IMAGE * source.total
    return max(1, min(granted, MOST_WORKERS, work // SHARE))


def workers(source: Source, granted: int) -> Workers | nullcontext[None]:
    """The workers that `decoded` is to use for `source`, to be entered; None stands for this process alone."""
    count = worker_count(source, granted)
    return Workers(count, serve=f"{__name__}:{answer.__name__}") if count > 1 else nullcontext()


def decoded(items: Iterable[Item], into: Square, *, by: Workers | None) -> Generator[tuple[Item, Outcome], None, None]:
    """Each item with what became of it, in order. Memory stays flat: only some chunks are under way.

    Raises `WorkFailed` when a worker dies, and what reading `items` raises.
    """
    if by is None:
        for item in items:
            data = _read(item.read)
            yield item, data if isinstance(data, BadImage) else decode(data, item.name, into=into)
        return
    under_way: deque[tuple[_Chunk, Future[Frame]]] = deque()
    for chunk in _chunks(items, into):
        files = [data for _, data in chunk if not isinstance(data, BadImage)]
        where = f"{chunk[0][0].name} to {chunk[-1][0].name}"
        under_way.append((chunk, by.ask([into.channels, into.resize, into.fit, files], where=where)))
        while len(under_way) >= AHEAD * by.count or sum(_size(chunk) for chunk, _ in under_way) > AHEAD_FILES:
            yield from _outcomes(*under_way.popleft(), into)
    while under_way:
        yield from _outcomes(*under_way.popleft(), into)


def answer(request: Frame) -> Frame:
    """What a worker makes of a request of `decoded`: for each file, its bytes or its path, a `Decoded` in plain values.

    Where there is none it is why, and what the error names: "" stands for the item.
    """
    channels, resize, fit, files = request
    into = Square(channels=channels, resize=resize, fit=fit)
    return [_plain(_decode_either(data, into)) for data in files]


_Chunk = list[tuple[Item, bytes | str | BadImage]]


def _decode_either(data: bytes | str, into: Square) -> Outcome:
    found = _read(partial(read_file, Path(data))) if isinstance(data, str) else data
    return found if isinstance(found, BadImage) else decode(found, "", into=into)


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
        return [outcome.message, outcome.where]
    return (outcome.pixels.tobytes(), *outcome[1:])


def _from_plain(values: Frame, name: str, into: Square) -> Outcome:
    if isinstance(values, list):
        return BadImage(values[0], where=values[1] or name)
    pixels = np.frombuffer(values[0], np.uint8).reshape(into.resize, into.resize, into.channels)
    return Decoded(pixels, *values[1:])
