"""Give a folder the place of another: in one step, by a system call that Python lacks, or else by two renames.

A kill between the two renames leaves no folder of the name; `restore_replaced` then brings the old one back.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".tmp-resnetctl-"  # prefix of drafts: files and folders not yet renamed, or left by a killed process
_OLD = "-old"  # suffix of a folder that is replaced by two renames
_AT_FDCWD = -100  # Linux: a relative path starts at the current folder
_RENAME_EXCHANGE = 2  # Linux: flag of renameat2
_RENAME_SWAP = 2  # macOS: flag of renamex_np
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # by the kernel or by this file system


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two existing paths on one disk. Return False, and change nothing, where it cannot be done.

    Raises `OSError` when it fails for another reason.
    """
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _RENAME_SWAP)
        else:
            failed = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    except (AttributeError, TypeError, OSError):  # an older or another C library; Windows has none
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))


def replace_folder(new: Path, path: Path) -> Path:
    """Give the name `path` to `new`; return the new name of the old folder."""
    if exchange(new, path):
        return new
    old = path.with_name(f"{TEMPORARY}{path.name}{_OLD}")
    shutil.rmtree(old, ignore_errors=True)
    with claimed(path):  # so that no other process takes it for the leftover of a killed process
        os.replace(path, old)
        try:
            os.rename(new, path)
        except BaseException:
            os.replace(old, path)
            raise
    return old


def restore_replaced(folder: Path) -> None:
    """Bring back folders in `folder` whose replacement was killed between two renames."""
    for old in folder.glob(f"{TEMPORARY}*{_OLD}"):
        path = old.with_name(old.name.removeprefix(TEMPORARY).removesuffix(_OLD))
        with contextlib.suppress(OSError), claimed(old):
            if not path.exists():
                os.rename(old, path)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the kernel's lock on a file or folder; it ends with the process. Raises `OSError` when another holds it."""
    if os.name == "nt":  # Windows cannot lock folders, so abandoned ones stay there
        yield
        return
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
