"""Batches of stored images: order them, gather and resize them on the device, without a Python loop over images.

Images are decoded once, when the store is built. A training step only gathers uint8 rows. Shapes: B images per batch,
C channels, R = `spec.resize` pixels per side for policies, S = `spec.size` for the model.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from resnetctl import rng
from resnetctl.data.preprocess import normalise, repeat, resize, standardise, to_grey
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.storage.windows import stored_in
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import Batch, ImageSpec, SceneTruths, VectorSpec
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig
    from resnetctl.data.store import Images

SAMPLE_PIXELS, FEWEST_SAMPLES = 2**20, 16  # of `sample`: 1,024 images of 32 px
RESIDENT_BYTES = 2 * 2**30  # up to this size a split is copied to an accelerator; a larger one batch by batch
RESIDENT_SHARE = 0.4  # of the free memory of a CUDA device, which a split of pixels may take instead
AHEAD = 3  # batches on their way to a CUDA device: each has pinned memory on the CPU and a place on the device


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of steps in an epoch of `count` images, by the tail rule of `batch_rows`.

    Raises `DataError` for fewer than two images, because batch normalisation needs two.
    """
    if count < 2:
        raise DataError(
            f"training needs at least 2 images, not {count}",
            hint=Setting("val_fraction", note="a smaller value leaves more images to train on"),
        )
    whole, rest = divmod(count, batch_size)
    return whole + (rest > 1)


def epoch_order(count: int, seed: int, *, epoch: int) -> Tensor:
    """Return a permutation of 0..count-1, int64 on the CPU. It depends on (seed, epoch) only."""
    generator = torch.Generator().manual_seed(rng.derive(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


def balanced_order(labels: Tensor, count: int, *, seed: int, epoch: int) -> Tensor:
    """Return `count` places in `labels`, shuffled, with equally many of each class. It depends on its arguments only.

    Images of small classes repeat, as evenly as possible; an epoch leaves out some images of large classes. Drawing
    without replacement has less noise than `WeightedRandomSampler`, which draws each image alone.
    """
    generator = torch.Generator().manual_seed(rng.derive(seed, "balanced order", epoch))
    classes = labels.unique()  # type: ignore[no-untyped-call]
    each, rest = divmod(count, len(classes))
    extra = torch.zeros(len(classes), dtype=torch.int64)
    extra[torch.randperm(len(classes), generator=generator)[:rest]] = 1
    chosen = []
    for label, more in zip(classes, extra, strict=True):
        places, wanted = (labels == label).nonzero().squeeze(1), each + int(more)
        rounds = [torch.randperm(len(places), generator=generator) for _ in range(-(-wanted // len(places)))]
        chosen += [places[torch.cat(rounds)[:wanted]]] if rounds else []
    return torch.cat(chosen)[torch.randperm(count, generator=generator)]


def windowed_order(stored: Tensor, count: int, *, window: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0..count-1 that needs few shards at a time. It depends on its arguments only.

    The shards are permuted. Each image comes at a random place within `window` shards from the place of its own shard.
    So a batch mixes about `window` shards, and one shard leaves when the next one enters.

    Args:
        stored: int64 `(count,)`, the shard that holds each image.
    """
    generator = torch.Generator().manual_seed(rng.derive(seed, "windowed order", epoch))
    names, shard = stored.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    places = torch.randperm(len(names), generator=generator)[shard]
    return (places + window * torch.rand(count, generator=generator, dtype=torch.float64)).argsort(stable=True)


def sampler_of(images: ImageSet, config: TrainConfig) -> Callable[..., Tensor]:
    """Return what orders the images of a set in each epoch, from (count, seed, epoch)."""
    if config.sampler == "balanced":
        return partial(balanced_order, torch.from_numpy(images.labels[images.index]))
    if config.sampler == "windowed":
        return partial(windowed_order, torch.from_numpy(stored_in(images)), window=config.shuffle_window)
    return epoch_order


def batch_rows(order: Tensor, step: int, *, batch_size: int) -> Tensor:
    """Return the rows of `order` for `step` (from 0 within the epoch), at most `batch_size` of them.

    Tail rule: a smaller last batch is used, unless it has a single image, because batch normalisation needs two. This
    epoch leaves that image out; the next epoch, in another order, leaves out another one.
    """
    assert 0 <= step < steps_per_epoch(len(order), batch_size), f"step {step} is not in an epoch of {len(order)} images"
    return order[step * batch_size : (step + 1) * batch_size]


def sample(images: ImageSet, spec: ImageSpec, *, seed: int) -> Tensor:
    """Return images of a set as evaluation sees them: normalised float32 `(N, C, S, S)` on the CPU.

    N depends on the side, so that they fill about 12 MB. Which images they are depends on (seed, N) only.
    """
    rows = epoch_order(len(images), seed, epoch=0)[: max(FEWEST_SAMPLES, SAMPLE_PIXELS // spec.size**2)]
    chosen = dataclasses.replace(images, index=images.index[rows.numpy()])
    pixels = np.concatenate([batch for batch, _ in eval_batches(chosen, spec)])
    return normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), spec)


def hold(images: ImageSet, spec: ImageSpec, *, device: torch.device) -> Tensor | None:
    """Return the images of a set as evaluation sees them, uint8 `(N, S, S, C)`, on an accelerator.

    None on a CPU, and for images beyond `RESIDENT_BYTES`: they are read batch by batch.
    """
    if device.type == "cpu" or len(images) * spec.size**2 * spec.channels > RESIDENT_BYTES:
        return None
    return torch.from_numpy(np.concatenate([pixels for pixels, _ in eval_batches(images, spec)])).to(device)


class Feed:
    """Gathers batches of one image set on one device, as input of a policy.

    Up to `RESIDENT_BYTES` of pixels, on CUDA up to `RESIDENT_SHARE` of its free memory, are copied to an accelerator
    once. Larger sets, and all sets on the CPU, are gathered or decoded batch by batch. A batch is resized when the
    stored side is not `spec.resize`. Channels are converted as in Pillow: colour to grey by luma, grey to colour by
    repeating. `is_resident` says whether the pixels lie on an accelerator.
    """

    def __init__(
        self, images: ImageSet, spec: ImageSpec, device: torch.device, *, vector: VectorSpec | None = None
    ) -> None:
        """`vector` has the numbers that the network reads.

        Raise `DataError` when the channels cannot be converted, or images copied to the device are damaged."""
        channels = images.images.shape[3]
        if channels not in (1, spec.channels) and (channels, spec.channels) != (3, 1):
            raise DataError(
                f"images with {counted(channels, 'channel')} cannot be used by a model for {spec.channels}",
                hint="1 channel (grey) can be repeated, 3 channels (colour) can become grey; other numbers must match",
            )
        resident = fits(images.images, device)
        home = device if resident else torch.device("cpu")
        self._check = images.check
        if resident:
            images.check(images.index)
        self.spec = spec
        self.device = device
        self._pixels = _gatherer(images.images[:] if resident else images.images, home)
        self._labels = torch.from_numpy(images.labels).to(home)
        self._truth = None if images.truth is None else images.truth.tensors()
        self._vector, self._numbers = vector, images.vectors
        # truth and numbers are gathered on the CPU, and reading their rows from the device would wait for it
        comes_from_cpu = not resident or self._truth is not None or vector is not None
        self._index = torch.from_numpy(images.index).to("cpu" if comes_from_cpu else home)
        self._home = home
        self._started = deque[torch.cuda.Event]() if comes_from_cpu and device.type == "cuda" else None
        self._stored = images.images.shape[1]
        self._expect = None if resident or isinstance(images.images, np.ndarray) else images.images.expect
        self.is_resident = resident

    def __len__(self) -> int:
        return len(self._index)

    def placed(self, order: Tensor, *, start: int = 0) -> Tensor:
        """Return an epoch's order on the device that gathers the batches: each step then cuts its rows out there.

        Images that must be fetched are fetched ahead, in this order from its place `start` on.
        """
        if self._expect is not None:
            self._expect(self._index[order[start:]].numpy())
        return order.to(self._index.device)

    def batch(self, rows: Tensor, *, epoch: int | Tensor, step: int | Tensor) -> Batch:
        """Return the batch of `rows`, int64 `(B,)` places in the image set.

        Returns:
            uint8 images `(B, C, R, R)` in channels-last strides, targets `(B,)`, and `index` `(B,)`: the rows in the
            stored split, which do not depend on `val_fraction`. Numbers are standardised.

        Raises:
            DataError: an image changed since it was stored. Each segment is verified once.
        """
        self._wait_for_a_place()
        index = self._index.index_select(0, rows.to(self._index.device))
        if not self.is_resident:
            self._check(index.cpu().numpy())
        places = _sent(index, self._home)
        images = _sent(self._pixels(places), self.device).permute(0, 3, 1, 2)
        images = resize(images, self.spec.resize, interpolation=self.spec.interpolation)
        if images.shape[1] != self.spec.channels:
            images = to_grey(images) if self.spec.channels == 1 else repeat(images, self.spec.channels)
        targets = self._labels.index_select(0, places)
        return Batch(
            images=images,
            targets=_sent(targets, self.device),
            index=_sent(places, self.device),
            epoch=epoch,
            step=step,
            truth=self._truth_of(index),
            vectors=self._vectors_of(index),
        )

    def _truth_of(self, index: Tensor) -> SceneTruths | None:
        """Return the boxes, masks or tags of stored rows, in pixels of the batch's images, on the device."""
        if self._truth is None:
            return None
        taken = self._truth.take(index)
        moved = {name: _sent(values, self.device) for name, values in vars(taken).items()}
        there = dataclasses.replace(taken, **moved)  # type: ignore[arg-type]  # its fields are tensors
        return there.resize(self._stored, size=self.spec.resize)

    def _vectors_of(self, index: Tensor) -> Tensor | None:
        """Return the standardised numbers of stored rows, on the device; None for a network that reads none."""
        if self._vector is None or self._numbers is None:
            return None
        numbers = torch.from_numpy(self._numbers.picked(index.numpy(), self._vector.columns))
        return standardise(_sent(numbers, self.device), self._vector)

    def _wait_for_a_place(self) -> None:
        """Wait until a CUDA device has begun the step that is `AHEAD` batches back. Batches that lie there need none.

        Otherwise the CPU could queue hundreds of short steps, and their batches would fill its pinned memory and the
        device. The device has steps enough to do meanwhile.
        """
        if self._started is None:
            return
        if len(self._started) == AHEAD:
            self._started.popleft().synchronize()
        begun = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # the threads that decode get the core
        begun.record(torch.cuda.current_stream(self.device))
        self._started.append(begun)


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Return values on the device. No copy from the CPU to CUDA is waited for, and none waits for the step before.

    It goes through pinned memory, which torch keeps until the copy is done and then uses again, and in a stream of its
    own: CUDA's notes on streams in torch's documentation say what `wait_stream` and `record_stream` are for.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)  # on mps, a copy that is not waited for may read memory that has been freed
    copies, steps = _copies(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copies):
        moved = values.pin_memory().to(device, non_blocking=True)
    steps.wait_stream(copies)
    moved.record_stream(steps)  # nothing else gets its memory before the step has read it
    return moved


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all copies to a device."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def fits(images: Images, device: torch.device) -> bool:
    """Return whether the images are copied to the device at once. Files are decoded first, in the memory of the CPU."""
    if device.type == "cpu":
        return False
    is_cuda = device.type == "cuda" and isinstance(images, np.ndarray)
    limit = RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0] if is_cuda else RESIDENT_BYTES
    return images.nbytes <= limit


def _gatherer(images: Images, home: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what gathers rows of images on the device `home`: copies them from an array, or decodes them."""
    if isinstance(images, np.ndarray):
        pixels = torch.from_numpy(images).to(home)
        # index_select copies whole images; pixels[index] copies single bytes and takes 16 times as long on a CPU
        return lambda index: pixels.index_select(0, index)
    return lambda index: torch.from_numpy(images[index.numpy()])
