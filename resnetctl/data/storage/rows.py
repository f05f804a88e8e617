"""The images of a split in the form `jpeg`: an array whose rows are decoded when they are read."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from resnetctl.data.reading.decode import Pixels
from resnetctl.data.reading.parallel import Square
from resnetctl.data.reading.plain_jpeg import Decoder, exact_decoder, space_for
from resnetctl.data.split_groups import pixel_key
from resnetctl.data.storage.decoders import decode_into
from resnetctl.data.storage.files import Files, read_index
from resnetctl.data.storage.table import Rows, Table
from resnetctl.spec import ImageSpec
from resnetctl.system import ranks, settings
from resnetctl.system.machine import cores_granted

CHUNK = 128  # images that a pass over all of them decodes at once
PROVED = 8  # images of a split whose pixels are compared with what was stored, before the others are believed
NO_LIMIT = 2**62  # pixels: the limit was applied when the image was stored


class FileImages:
    """The images of a split as the files that they came in. Reading rows decodes them, on all cores.

    `images[rows]`, for a row, a slice or an array of rows, are new arrays, bit for bit what the raw form has: the same
    function decoded both. If this machine decodes to other pixels than the one that stored the images, the first read
    raises `DataError`.

    Attributes:
        shape: `(N, R, R, C)`, of the array that all images would be.
    """

    def __init__(self, files: Files, pixels: Rows, *, image: ImageSpec) -> None:
        self.shape = (len(files), image.resize, image.resize, image.channels)
        self._files, self._keys = files, pixels
        self._into = Square(
            channels=image.channels,
            resize=image.resize,
            fit=image.fit,
            max_pixels=NO_LIMIT,
            interpolation=image.interpolation,
            has_digest=False,
        )
        self._unproved = PROVED

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels of all images."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shard_sizes(self) -> Rows:
        """Bytes of each shard."""
        return self._files.sizes

    def shards(self, rows: Rows) -> Rows:
        """Return the shard in which each row lies."""
        return self._files.shards(rows)

    def cache_bytes(self) -> float | None:
        """Return how many bytes of shards may be here at a time; None: all."""
        return self._files.cache_bytes()

    def expect(self, rows: Rows) -> None:
        """Prepare for reads of these rows in this order: shards of a server are fetched ahead."""
        self._files.expect(rows)

    def __getitem__(self, rows: int | slice | Sequence[int] | Rows) -> Pixels:
        if isinstance(rows, int | np.integer):
            image: Pixels = self._decoded(np.array([rows]))[0]
            return image
        return self._decoded(np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows))

    def __iter__(self) -> Iterator[Pixels]:
        """Yield every image in order. Raises `DataError` also when its pixels are not those that were stored."""
        self.expect(np.arange(len(self)))
        for start in range(0, len(self), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(self)))
            images = self._decoded(rows)
            self._require_stored(rows, images)
            yield from images

    def _decoded(self, rows: Rows) -> Pixels:
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows are 0 to {len(self) - 1}")
        images = space_for((len(rows), *self.shape[1:]))
        decoder, threads = exact_decoder(), min(self._threads, len(rows))

        def decode_share(first: int) -> None:
            for place in range(first, len(rows), threads):
                self._decode_into(images[place], int(rows[place]), decoder=decoder)

        if threads > 1:
            deque(self._pool.map(decode_share, range(threads)), maxlen=0)  # raises the first error
        elif threads:
            decode_share(0)
        if self._unproved and len(rows):
            self._require_stored(rows[: self._unproved], images)
            self._unproved = max(0, self._unproved - len(rows))
        return images

    def _decode_into(self, image: Pixels, row: int, *, decoder: Decoder | None) -> None:
        refused = decode_into(image, self._files.read(row), into=self._into, decoder=decoder)
        if refused is not None:
            raise self._files.damaged(row, f"this machine cannot decode it: {refused.message}")

    def _require_stored(self, rows: Rows, images: Pixels) -> None:
        for row, image in zip(rows.tolist(), images, strict=False):
            if pixel_key(image) != self._keys[row]:
                raise self._files.damaged(
                    row, "this machine decodes its file to other pixels than the machine that stored it"
                )

    @cached_property
    def _threads(self) -> int:
        """The cores of this process: processes of one training on this machine share them."""
        place = ranks.place()
        return max(1, (settings.load().threads or cores_granted()) // (place.local_size if place else 1))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="decode")


def open_files(index: Path, image: ImageSpec, *, remote: str = "") -> tuple[FileImages, Table]:
    """Return the images of a split and the table of its index. Raises as `Files` and `read_index`."""
    table = read_index(index)
    return FileImages(Files(index, table, remote=remote), table.columns["pixels"], image=image), table
