"""Number of CPU threads, chosen by a fixed rule from the granted cores, the arch and the image size. Needs no torch."""

from resnetctl.models.multiply_adds import multiply_adds
from resnetctl.spec import Arch
from resnetctl.system.machine import cores_granted

TINY_MACS = 10_000_000  # below this many multiply-adds an image, a second thread costs more time than it saves


def pick_threads(wanted: int, *, arch: Arch, size: int, shards: int = 1) -> int:
    """Return `wanted` threads; if 0, one for a network that is tiny at this size, else one for each granted core.

    With several shards, each shard has its part of the cores, however many processes there are: threads change the last
    bits of a result, and processes must not.
    """
    if wanted:
        return wanted
    return 1 if multiply_adds(arch, size) < TINY_MACS else max(1, cores_granted() // shards)
