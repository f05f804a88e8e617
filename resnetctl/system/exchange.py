"""Exchange two folders in one step, by a system call that Python lacks."""

import ctypes
import errno
import os
import sys
from pathlib import Path

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
