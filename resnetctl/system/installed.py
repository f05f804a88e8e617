"""A fast check of the installed distributions, for the first help screen: importlib.metadata would double its time.

It only decides whether to ask the registry, which alone knows what a plugin offers.
"""

import contextlib
import os
import sys


def some_mention(group: str) -> bool:
    """Return whether the entry points of a distribution in a folder of `sys.path` mention `group`."""
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as items:
            for item in items:
                if item.name.endswith((".dist-info", ".egg-info")) and group in _entry_points(item.path):
                    return True
    return False


def _entry_points(folder: str) -> str:
    with (
        contextlib.suppress(OSError),
        open(os.path.join(folder, "entry_points.txt"), encoding="utf-8", errors="replace") as file,
    ):
        return file.read()
    return ""
