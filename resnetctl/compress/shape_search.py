"""Find the largest of many shapes that is fast enough, with few measurements.

A table predicts the speed of every shape. The first shape that is predicted to be enough is measured. How far the
prediction was off corrects the next guess. So two or three shapes are measured, not all of them. Between two measured
shapes the table only says how to interpolate, so that a table from a busy machine costs guesses and not the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Shape = TypeVar("Shape")
MISSES = 2  # guesses that may be too slow before the range is halved
TRIES = 8  # measurements, after which a shape that is fast enough is taken
WHOLE, FLAT = -1, 1e-6  # the place of the whole network; a share of its time that is none
TOO_FAST = 1.5  # a shape that is so much faster than needed throws doubt on the table
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
    slow, fast, factor, tries, known = -1, len(shapes), 1.0, 0, {WHOLE: 1.0}
    while True:
        expected = _expected(table, known, factor=factor, slow=slow, fast=fast)
        place = _next(expected, needed=needed, found=known.get(fast), tries=tries)
        if place is None:
            return shapes[fast] if fast in known else None
        gain, tries = measure(shapes[place]), tries + 1
        if gain is not None:
            known[place] = max(gain, 1e-9)
            factor = known[place] / table[place]
        if gain is not None and gain >= needed:
            fast = place
        else:
            slow = place


def _expected(
    table: Sequence[float], known: Mapping[int, float], *, factor: float, slow: int, fast: int
) -> dict[int, float]:
    """Return the speed-ups to hope for of the shapes between `slow` and `fast`, by place, the largest shape first.

    It is the higher one of two guesses: the table, corrected by `factor`, and what lies between two measured shapes.

    Args:
        known: the measured speed-ups by place. The whole network has 1.
    """
    between = range(slow + 1, fast)
    if fast not in known:
        return {place: table[place] * factor for place in between}
    below = max(place for place in known if place <= slow)
    first = 1.0 if below == WHOLE else table[below]
    saved = 1 / first - 1 / table[fast]  # of the time of the whole network, by the table
    slower, faster = 1 / known[below], 1 / known[fast]

    def gain(place: int) -> float:
        share = (1 / first - 1 / table[place]) / saved if saved > FLAT else (place - below) / (fast - below)
        return max(table[place] * factor, 1 / (slower + (faster - slower) * share))

    return {place: gain(place) for place in between}


def _next(expected: Mapping[int, float], *, needed: float, found: float | None, tries: int) -> int | None:
    """Return the place of the shape to measure next, None when there is nothing more to learn.

    Args:
        expected: the speed-ups to expect of the shapes that may be the answer.
        found: the speed-up of the shape after them, which is fast enough; None if there is none yet.
    """
    between = [*expected]
    enough = [place for place in between if expected[place] >= needed]
    if not between or (found is not None and tries >= TRIES):
        return None
    if found is None:
        if not enough:
            return between[-1]
        return enough[0] if tries < MISSES else between[len(between) // 2]
    if enough:
        return enough[0] if tries < MISSES else enough[len(enough) // 2]
    if expected[between[-1]] * HOPE >= needed:
        return between[-1]
    return between[len(between) // 2] if found > TOO_FAST * needed > 0 else None
