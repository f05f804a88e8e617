"""Near-duplicates across two sets of images: the same shot, shifted, mirrored, or saved again. No model is needed.

Two stages. Candidates are images whose grey thumbnails correlate most, or whose spectra do: a shift changes the phases
of a spectrum and leaves its amplitudes. A candidate is a pair when the fine structure of both images correlates, at the
best shift of up to `SHIFT` pixels, as it is or mirrored.

Shapes: N and M images of two sets, P pairs; thumbnails are `SIDE` pixels a side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from resnetctl.trust.pictures.filters import mirrored

METHOD = "near/2"  # another name for each change of what is found
SIDE = 32
SHIFT = 4  # pixels of a thumbnail
FOUND, IDENTICAL = 0.8, 0.99  # correlations from which on a pair is one
NEIGHBOURS = 5  # candidates of each image and descriptor
ALIKE = 0.05  # share of flagged images from which on the images are merely alike
_COARSE = 0.5  # correlation without the correction for the overlap
_SIGMA = 4.0  # pixels: structure that is coarser is removed
_WAVES = 10  # frequencies of a spectrum, per axis, besides 0: waves of 3 pixels and longer
_FLAT = 2.0  # grey levels: structure below it is noise
_ROWS, _COLUMNS, _PAIRS = 512, 16_384, 2048  # computed at once
Greys = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows and the correlation of their images, at most 1."""

    row: int
    other: int
    score: float


def thumbnails(images: NDArray[np.uint8]) -> Greys:
    """Return grey thumbnails (N, SIDE, SIDE) of images (N, R, R, C)."""
    from PIL import Image

    weights = np.array([0.299, 0.587, 0.114]) if images.shape[3] == 3 else np.ones(1)
    greys: Greys = np.rint(images @ weights).astype(np.uint8)
    if greys.shape[1] == SIDE:
        return greys
    how = Image.Resampling.BOX if greys.shape[1] > SIDE else Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), how)) for grey in greys])


def pairs(images: Greys, others: Greys) -> Iterator[tuple[int, list[Pair]]]:
    """Yield how many of the thumbnails (N, ...) are done, with their pairs among the others (M, ...), best first."""
    fine = _fine(others)
    spectra = _spectra(fine)
    usual = _moments(spectra)
    known = [_descriptors(others, 16), _descriptors(others, 8), _unusual(spectra, usual)]
    for start in range(0, len(images), _ROWS):
        part = images[start : start + _ROWS]
        own = _fine(part)
        queries = [_descriptors(part, 16), _descriptors(part, 8), _unusual(_spectra(own), usual)]
        near = np.concatenate([_nearest(*both) for both in zip(queries, known, strict=True)], axis=1)
        rows, columns = _unique(near)
        scores = _scores(own[rows], fine[columns])
        yield (
            min(start + _ROWS, len(images)),
            [
                Pair(row=start + row, other=column, score=score)
                for row, column, score in sorted(
                    zip(rows.tolist(), columns.tolist(), scores.tolist(), strict=True),
                    key=lambda item: (item[0], -item[2]),
                )
                if score >= FOUND
            ],
        )


def kept(found: list[Pair], count: int) -> tuple[list[Pair], bool]:
    """Return the pairs to list for `count` images, and whether images are alike at this size.

    Digits and clothes look alike without being duplicates. If more than `ALIKE` of the images have a pair, only nearly
    identical ones are listed.
    """
    is_alike = len({pair.row for pair in found}) > ALIKE * count
    return [pair for pair in found if pair.score >= IDENTICAL or not is_alike], is_alike


def _descriptors(greys: Greys, cells: int) -> Floats:
    """Return thumbnails averaged over `cells` x `cells`, without their mean and of length 1: (N, cells * cells)."""
    step = SIDE // cells
    means = greys.reshape(len(greys), cells, step, cells, step).mean(axis=(2, 4), dtype=np.float32)
    return _unit(means.reshape(len(greys), -1))


def _unit(vectors: Floats) -> Floats:
    """Return vectors (N, D) without their mean and of length 1."""
    flat = vectors - vectors.mean(axis=1, keepdims=True)
    result: Floats = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return result


def _spectra(fine: Floats) -> Floats:
    """Return the logarithms of the amplitudes of low frequencies: (N, D), the same for a mirrored image.

    A window that falls to the borders makes what a shift moves out of the image count little.
    """
    line = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
    parts = [np.zeros((0, (_WAVES + 1) ** 2), np.float32)]
    for start in range(0, len(fine), _PAIRS):
        waves = np.fft.rfft2(fine[start : start + _PAIRS] * line[:, None] * line)
        amplitudes = np.log1p(np.abs(waves[:, np.r_[0 : _WAVES + 1, -_WAVES:0], : _WAVES + 1])).astype(np.float32)
        # mirroring swaps the frequencies y and -y
        both = amplitudes[:, : _WAVES + 1] + amplitudes[:, np.r_[0, -1 : -_WAVES - 1 : -1]]
        parts.append(both.reshape(len(both), -1))
    return np.concatenate(parts)


def _moments(spectra: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the spread of each amplitude."""
    if not len(spectra):
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    return spectra.mean(axis=0), spectra.std(axis=0) + np.float32(1e-6)


def _unusual(spectra: Floats, usual: tuple[Floats, Floats]) -> Floats:
    """Return in what spectra differ from the usual one, of length 1: all photos have about the same."""
    mean, spread = usual
    return _unit((spectra - mean) / spread)


def _nearest(queries: Floats, known: Floats) -> NDArray[np.int64]:
    """Return the rows of `known` with the largest products: (N, NEIGHBOURS), repeated if there are fewer."""
    best = np.full((len(queries), NEIGHBOURS), -np.inf, np.float32)
    rows = np.zeros((len(queries), NEIGHBOURS), np.int64)
    for start in range(0, len(known), _COLUMNS):
        products = queries @ known[start : start + _COLUMNS].T
        count = min(NEIGHBOURS, products.shape[1])
        columns = np.argpartition(-products, count - 1, axis=1)[:, :count]
        values = np.concatenate([best, np.take_along_axis(products, columns, axis=1)], axis=1)
        places = np.concatenate([rows, columns + start], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :NEIGHBOURS]
        best, rows = np.take_along_axis(values, order, axis=1), np.take_along_axis(places, order, axis=1)
    return rows


def _unique(near: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct candidates as rows (P,) and columns (P,)."""
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    both = np.unique(np.stack([rows, near.ravel()], axis=1), axis=0)
    return both[:, 0], both[:, 1]


@cache
def _blur() -> Floats:
    """Return the matrix (SIDE, SIDE) that blurs a line of pixels."""
    reach = int(4 * _SIGMA)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SIGMA) ** 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for place, weight in enumerate((weights / weights.sum()).tolist()):
        np.add.at(matrix, (np.arange(SIDE), mirrored(np.arange(SIDE) + place - reach, SIDE)), weight)
    return matrix


def _fine(greys: Greys) -> Floats:
    """Return thumbnails without their coarse structure: (N, SIDE, SIDE)."""
    wide = greys.astype(np.float32)
    return (wide - _blur() @ wide @ _blur().T).astype(np.float32)


def _scores(one: Floats, other: Floats) -> Floats:
    """Return the largest correlation of each pair (P, SIDE, SIDE) over shifts and mirroring."""
    result = np.zeros(len(one), np.float32)
    for start in range(0, len(one), _PAIRS):
        part = slice(start, start + _PAIRS)
        for turned in (other[part], other[part][:, :, ::-1]):
            rows = np.flatnonzero(_coarse(one[part], turned) >= _COARSE)
            if len(rows):
                places = start + rows
                result[places] = np.maximum(result[places], _exact(one[part][rows], turned[rows]))
    return result


def _coarse(one: Floats, other: Floats) -> Floats:
    """Return the largest correlation over shifts by Fourier transform, divided by the energy of whole images."""
    size = SIDE + SHIFT
    product = np.fft.rfft2(one, (size, size)) * np.conj(np.fft.rfft2(other, (size, size)))
    shifts = np.r_[-SHIFT : SHIFT + 1]
    values = np.fft.irfft2(product, (size, size))[:, shifts][:, :, shifts].max(axis=(1, 2))
    energy = np.sqrt((one**2).sum(axis=(1, 2)) * (other**2).sum(axis=(1, 2)))
    result: Floats = (values / np.maximum(energy, SIDE**2 * _FLAT**2)).astype(np.float32)
    return result


def _exact(one: Floats, other: Floats) -> Floats:
    """Return the largest correlation over shifts, each over the pixels that both images have."""
    best = np.zeros(len(one), np.float32)
    for down, right in np.ndindex(2 * SHIFT + 1, 2 * SHIFT + 1):
        y, x = down - SHIFT, right - SHIFT
        mine = one[:, max(0, y) : SIDE + min(0, y), max(0, x) : SIDE + min(0, x)]
        its = other[:, max(0, -y) : SIDE + min(0, -y), max(0, -x) : SIDE + min(0, -x)]
        product, first, second = (np.einsum("pyx,pyx->p", a, b) for a, b in ((mine, its), (mine, mine), (its, its)))
        floor = mine[0].size * _FLAT**2
        best = np.maximum(best, product / np.maximum(np.sqrt(first * second), floor))
    return np.minimum(best, 1)
