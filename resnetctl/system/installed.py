"""Checks of the installed distributions: whether some may be a plugin, and whether torchvision fits torch.

The first is for the first help screen, fast: importlib.metadata would double its time. It only decides whether to ask
the registry, which alone knows what a plugin offers.
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


def torchvision_remedy(error: BaseException) -> str:
    """Return what to install if an import failed because torchvision does not match torch, "" if it did not.

    A torchvision that was built for another torch fails in its own modules, or as `operator torchvision::nms does not
    exist`.
    """
    trace, last = error.__traceback__, ""
    while trace is not None:
        last = trace.tb_frame.f_globals.get("__name__", "")
        if last.partition(".")[0] == "torchvision":
            break
        trace = trace.tb_next
    is_missing = isinstance(error, ModuleNotFoundError) and error.name == "torchvision"
    if is_missing or not (last.partition(".")[0] == "torchvision" or "torchvision::" in str(error)):
        return ""
    return "torchvision does not match torch: pip install --force-reinstall torch torchvision"


def _entry_points(folder: str) -> str:
    with (
        contextlib.suppress(OSError),
        open(os.path.join(folder, "entry_points.txt"), encoding="utf-8", errors="replace") as file,
    ):
        return file.read()
    return ""
