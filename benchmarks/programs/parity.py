"""Whether two programs compute the same: logits of the first weights, and the distribution of what the network gets.

Pictures that carry their own coordinates tell how each of them was moved and mirrored.
"""

import numpy as np

from programs.task import PAD, Array

SIDE = 32
TOLERANCE = 1e-5  # of the largest logit
SIGMAS = 6  # of the chi-square statistic: one honest program in a billion fails


def coded(count: int) -> Array:
    """Equal uint8 pictures `(count, 32, 32, 3)`: red tells the column, green the row, blue that it is no padding."""
    line = np.arange(SIDE, dtype=np.uint8) * 8 + 3
    picture = np.stack(np.broadcast_arrays(line[None, :], line[:, None], np.uint8(255)), axis=2)
    return np.broadcast_to(picture, (count, *picture.shape))


def moves(inputs: Array, mean: Array, std: Array) -> Array:
    """How often each move occurs, `(2, 9, 9)`: mirrored or not, rows down, columns right.

    Args:
        inputs: what a program made of coded pictures, `(N, 3, 32, 32)`, normalised.

    Raises:
        ValueError: a picture is not the coded one moved by at most `PAD` with black around it, mirrored or not.
    """
    pixels = np.asarray(inputs, np.float64).transpose(0, 2, 3, 1) * std + mean
    levels = np.rint(pixels * 255)
    if np.abs(pixels * 255 - levels).max() > 0.01:
        raise ValueError("the inputs are not whole levels of the pictures: normalised in another way?")
    half = SIDE // 2
    columns, rows = (levels[:, half, half - 1 : half + 1, 0] - 3) / 8, (levels[:, half, half, 1] - 3) / 8
    mirrored = columns[:, 1] < columns[:, 0]
    down = (rows - half + PAD).astype(int)
    right = (columns[:, 0] - np.where(mirrored, half, half - 1) + PAD).astype(int)
    if min(down.min(), right.min()) < 0 or max(down.max(), right.max()) > 2 * PAD:
        raise ValueError(f"a picture was moved by more than {PAD} pixels")
    for start in range(0, len(levels), 1024):
        part = slice(start, start + 1024)
        if (levels[part] != _moved(mirrored[part], down[part], right[part])).any():
            raise ValueError("a picture was not only moved and mirrored")
    found = np.zeros((2, 2 * PAD + 1, 2 * PAD + 1), int)
    np.add.at(found, (mirrored.astype(int), down, right), 1)
    return found


def distance(counts: Array) -> float:
    """How far counts are from uniform, in standard deviations of the chi-square statistic."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def relative(logits: Array, others: Array) -> float:
    """The largest difference as a share of the largest logit."""
    return float(np.abs(logits - others).max() / np.abs(others).max())


def _moved(mirrored: Array, down: Array, right: Array) -> Array:
    canvas = np.pad(coded(1)[0], ((PAD, PAD), (PAD, PAD), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (SIDE, SIDE), axis=(0, 1))
    cut = windows[down, right].transpose(0, 2, 3, 1)
    return np.where(mirrored[:, None, None, None], cut[:, :, ::-1], cut)
