"""The order in which images are stored: that of the source, or a mixed one.

A folder lists one class after the other. That suits a store whose rows are all at hand. Of a store that is read shard
by shard, each shard should have images of all classes.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

import numpy as np

from resnetctl.data.reading.source import Item, Source
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.rng import derive

Place = TypeVar("Place")
ANY_ORDER = ("folder", "table")  # kinds of sources that lie on the disk as files; an archive is one stream


def require_shuffle(source: Source) -> None:
    """Raise `UsageError` if the images of a source can only be read in its own order."""
    if source.kind not in ANY_ORDER:
        raise UsageError(
            f"{source.path} can be read in its own order only, so its images cannot be shuffled",
            where=Setting("shuffle"),
            hint="unpack it, and add the folder",
        )


def ordered(
    source: Source, place: Callable[[Item], Place], *, is_shuffled: bool
) -> Generator[tuple[Item, Place], None, None]:
    """Yield the images of a source with the place of each. A mixed order is the same each time, and keeps all items.

    `place` is called in the order of the source: what it counts does not depend on the order of the store.
    """
    with closing(source.items()) as items:
        if not is_shuffled:
            for item in items:
                yield item, place(item)
            return
        whole = [(item, place(item)) for item in items]
    # raw PCG64 output is stable by policy (NEP 19), `permutation` is not
    for number in np.argsort(np.random.PCG64(derive(0, "rows")).random_raw(len(whole)), kind="stable").tolist():
        yield whole[number]
