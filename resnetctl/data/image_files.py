"""Prepared batches from image files and folders, for `predict` and the parity check of `export`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resnetctl.data.images import prepare
from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.source import why_ignored
from resnetctl.spec import ImageSpec

BATCH = 64  # images


def prepared_batches(
    names: Sequence[str | Path], spec: ImageSpec, *, problems: list[str]
) -> Iterator[tuple[Pixels, list[Path]]]:
    """Yield prepared images `(B, S, S, C)` uint8 with their paths, in order.

    Args:
        names: files and folders; a folder means all images in it.
        spec: size, channels and fit of the images.
        problems: receives a line for each unreadable file and each folder without images.
    """
    paths: list[Path] = []
    pixels: list[Pixels] = []
    for path in image_paths(names, problems):
        try:
            pixels.append(prepare(path, spec))
        except BadImage as error:
            problems.append(f"{path}: {error.message}")
            continue
        paths.append(path)
        if len(paths) == BATCH:
            yield np.stack(pixels), paths
            paths, pixels = [], []
    if paths:
        yield np.stack(pixels), paths


def image_paths(names: Sequence[str | Path], problems: list[str]) -> Iterator[Path]:
    """Yield the files, and all images in and below the folders, sorted, by the rules of `data add`."""
    for path in map(Path, names):
        if not path.is_dir():
            yield path
            continue
        files = (item for item in sorted(path.rglob("*")) if item.is_file())
        images = [item for item in files if not why_ignored(item.relative_to(path).parts)]
        if not images:
            problems.append(f"{path}: the folder has no image")
        yield from images
