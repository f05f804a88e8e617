"""Find the largest of many shapes that is fast enough, with few measurements.

A table predicts the speed of every shape. The first shape that is predicted to be enough is measured. How far the
prediction was off corrects the next guess. So two or three shapes are measured, not all of them.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Shape = TypeVar("Shape")
MISSES = 2  # guesses that may be too slow before the range is halved
TRIES = 8  # measurements, after which a shape that is fast enough is taken
HOPE = 1.1  # the next larger shape is measured too if it is predicted to be up to a tenth too slow


def largest(
    shapes: Sequence[Shape],
    *,
    needed: float,
    predicted: Callable[[Shape], float],
    measure: Callable[[Shape], float | None],
) -> Shape | None:
    """Return the largest shape that is fast enough, as far as the measurements show; None if the last one is not.

    Args:
        shapes: the largest first. The last one is measured if none is predicted to be enough.
        needed: the speed-up.
        predicted: the speed-up by the table, which does not fall from shape to shape.
        measure: returns the speed-up of a shape; None if it breaks another limit.
    """
    table = [predicted(shape) for shape in shapes]
    slow, fast, factor, tries = -1, len(shapes), 1.0, 0
    while (place := _next(table, slow, fast, needed=needed / factor, tries=tries)) is not None:
        gain, tries = measure(shapes[place]), tries + 1
        if gain is not None:
            factor = max(gain, 1e-9) / table[place]
        if gain is not None and gain >= needed:
            fast = place
        else:
            slow = place
    return shapes[fast] if fast < len(shapes) else None


def _next(table: Sequence[float], slow: int, fast: int, *, needed: float, tries: int) -> int | None:
    """Return the place of the shape to measure next, None when there is nothing more to learn.

    Args:
        slow, fast: places of the smallest shape that is too slow, and of the largest that is fast enough.
        needed: the speed-up that the table must predict.
    """
    between = range(slow + 1, fast)
    enough = [place for place in between if table[place] >= needed]
    if fast == len(table):
        if not enough:
            return between[-1] if between else None
        return enough[0] if tries < MISSES else between[len(between) // 2]
    if tries >= TRIES:
        return None
    if enough:
        return enough[0] if tries < MISSES else enough[len(enough) // 2]
    return between[-1] if between and table[between[-1]] * HOPE >= needed else None
