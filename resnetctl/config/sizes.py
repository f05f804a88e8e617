"""Sizes of files: read `500kB` as people type it."""

import re

UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|[kMG]B|[KMG]iB)")


def byte_count(text: str) -> int:
    """Return the bytes in `500kB`, `1.5MB` or `64KiB`. Raises `ValueError`, also for 0."""
    match = _SIZE.fullmatch(text.strip())
    count = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if count < 1:
        raise ValueError("should be a size such as 500kB or 1.5MB")
    return count
