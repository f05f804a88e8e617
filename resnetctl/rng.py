"""Seeds: each is a pure function of (run seed, purpose, counters).

No random generator keeps its state over steps, so a checkpoint saves none: a resumed run derives the same seeds as an
uninterrupted one. The seed is a hash, because sums collide (seed 1 at epoch 0 and seed 0 at epoch 1).
"""

from hashlib import blake2b


def derive(seed: int, purpose: str, *counters: int) -> int:
    """Return a 63-bit seed for `purpose` (e.g. "order") at `counters` (epoch or step, rank)."""
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
