"""The network on corrupted images, made here or read from the published files of CIFAR-10-C."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Progress
from resnetctl.hints import Setting, suggest
from resnetctl.report.pictures import thumbnail
from resnetctl.tasks.judge import Judge, evenly
from resnetctl.trust.assessment import Assessment
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.pictures.corruptions import FIVE, KINDS, NAME, SEVERITIES, corrupt, suits
from resnetctl.trust.shift import Shift, shift

COUNT = 1000  # images of each kind and severity
ALL = "all"
PUBLISHED = "cifar-10-c"


def require_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds that are asked for: five or fifteen for `all`. Raises `UsageError` for an unknown one."""
    for kind in kinds:
        if kind not in (*KINDS, ALL):
            raise UsageError(
                f"{kind!r} is no corruption", where=Setting("corruption"), hint=suggest(kind, (*KINDS, ALL))
            )
    return KINDS if ALL in kinds else tuple(dict.fromkeys(kinds)) or FIVE


def corrupted(
    judge: Judge, judged: Assessment, *, images: ImageSet, store: Store, kinds: Sequence[str], published: Path | None
) -> Generator[Progress, None, Shift]:
    """Judge the network on up to `COUNT` images of each kind and severity; yield progress.

    Args:
        published: folder with `labels.npy` and a file for each kind, as CIFAR-10-C has them; None: make the images.

    Raises:
        DataError: a published file is missing or damaged, or belongs to other images.
    """
    few = evenly(images, COUNT)
    passes: dict[tuple[str, int], Evidence] = {}
    for done, kind in enumerate(kinds):
        yield Progress(what="judging corrupted images", done=done, total=len(kinds), unit="kinds")
        if not suits(kind, channels=judge.card.image.channels):
            judge.said.append(f"{kind} does not change images of one channel: it is left out")
            continue
        for severity in SEVERITIES:
            if published is None:
                passes[kind, severity] = judge.corrupted(store, few, kind=kind, severity=severity)
            else:
                found = _published(published, kind, images=few, severity=severity)
                passes[kind, severity] = judge.replaced(store, found, key=f"{PUBLISHED} {kind} {severity}")
    if not passes:
        raise UsageError("no corruption is left", where=Setting("corruption"), hint=Setting("quick"))
    return shift(passes, judged, source=NAME if published is None else PUBLISHED)


def samples(judge: Judge, images: ImageSet, *, kinds: Sequence[str]) -> dict[str, tuple[bytes, ...]]:
    """Return pictures of one image for each kind: undamaged, then in each severity."""
    few = replace(images, index=images.index[len(images) // 2 :][:1])
    pixels = judge.pixels(few)
    return {
        kind: tuple(
            thumbnail(image[0])
            for image in (
                pixels,
                *(corrupt(pixels, kind, severity=severity, rows=few.index) for severity in SEVERITIES),
            )
        )
        for kind in kinds
        if suits(kind, channels=judge.card.image.channels)
    }


def _published(folder: Path, kind: str, *, images: ImageSet, severity: int) -> ImageSet:
    """Return the images of a published file that belong to the rows of `images`."""
    count = len(images.labels)
    labels, pixels = (_read(folder / f"{name}.npy") for name in ("labels", kind))
    start = (severity - 1) * count
    is_same = labels.shape == (5 * count,) and np.array_equal(labels[start : start + count], images.labels)
    if images.split != "test" or not is_same:
        raise DataError(
            "the labels are not those of this test split in five severities",
            where=str(folder / "labels.npy"),
            hint="the published files belong to CIFAR-10 as 'data get cifar10' stores it",
        )
    if pixels.shape != (5 * count, *images.images.shape[1:]) or pixels.dtype != np.uint8:
        raise DataError(f"it does not hold {5 * count:,} images", where=str(folder / f"{kind}.npy"))
    return replace(images, images=pixels[start : start + count], guard=None)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = np.lib.format.open_memmap(path, mode="r")  # unlike np.load, arrays only
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read the corrupted images: {error}", where=str(path)) from None
    return array
