"""Seeds as a pure function of what they are for.

Nothing random has state, so nothing random is saved: whoever needs randomness asks for the seed of
(run seed, purpose, counters) and gets the same one before and after a resume. Adding numbers would collide
(seed 1 at epoch 0 with seed 0 at epoch 1); a hash does not.
"""

from hashlib import blake2b


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for `purpose` (say "order") at `counters` (epoch or step, rank)."""
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
