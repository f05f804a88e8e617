"""Windows: what an epoch reads at a time, a few shards of files or a few GiB of pixels."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from resnetctl.data.storage.cache import GB
from resnetctl.data.storage.rows import FileImages
from resnetctl.data.storage.table import Rows
from resnetctl.errors import ConfigError
from resnetctl.hints import Setting

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig
    from resnetctl.data.splits import ImageSet

STRETCH_BYTES = 2**30  # of pixels
MB = 10**6


def stored_in(images: "ImageSet") -> Rows:
    """Return the number of the shard that holds each image of a set, or of its GiB of pixels, int64 `(M,)`."""
    if isinstance(images.images, FileImages):
        return images.images.shards(images.index)
    return images.index // max(1, STRETCH_BYTES // prod(images.images.shape[1:]))


def require_cache(images: "ImageSet", config: "TrainConfig") -> None:
    """Raise `ConfigError` if the cache of a remote dataset is smaller than what the order of an epoch reads at once.

    Each shard would then be fetched again and again.
    """
    stored = images.images
    room = stored.cache_bytes() if isinstance(stored, FileImages) else None
    if room is None or not isinstance(stored, FileImages):
        return
    sizes = stored.shard_sizes[np.unique(stored.shards(images.index))]
    # a batch may lie between two places of shards, so it reads one more than the window has
    is_windowed = config.sampler == "windowed"
    needed = int(np.sort(sizes)[-1 - config.shuffle_window :].sum() if is_windowed else sizes.sum())
    if needed > room:
        window = Setting("shuffle_window", note="a smaller value mixes fewer shards at a time")
        raise ConfigError(
            f"sampler {config.sampler} reads {needed / GB:,.3g} GB of shards at a time, and the cache of this remote "
            f"dataset may have {room / GB:,.3g} GB",
            hint=[
                window if is_windowed else Setting("sampler", "windowed"),
                f"RESNETCTL_CACHE_GB={-(-needed // MB) / (GB // MB):g} makes it large enough",
            ],
        )


def classes_in_shards(images: "ImageSet") -> tuple[float, float]:
    """Return how many classes a shard has on average, and how many it would have if images were stored shuffled."""
    labels, shard = images.labels[images.index], np.unique(stored_in(images), return_inverse=True)[1]
    count = int(labels.max()) + 1
    pairs = np.unique(shard * count + labels)
    shares = np.bincount(labels) / len(labels)
    sizes, many = np.unique(np.bincount(shard), return_counts=True)  # few sizes, however many shards there are
    classes = (1 - (1 - shares) ** sizes[:, None]).sum(1)
    return len(pairs) / int(many.sum()), float((classes * many).sum() / many.sum())
