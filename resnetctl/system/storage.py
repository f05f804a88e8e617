"""Durable writes, digests, and opening plain files. Only this module renames and fsyncs.

A write goes to a temporary file beside it, which is fsynced and renamed; then the folder is fsynced. So a reader
sees the old content or the new, never a part of it, also after a power cut.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from resnetctl import fields
from resnetctl.errors import ResnetctlError, UsageError, WorkFailed
from resnetctl.hints import Hint
from resnetctl.system.exchange import TEMPORARY, claimed, replace_folder, restore_replaced
from resnetctl.system.plain_files import open_regular

TRANSIENT = (errno.EIO, errno.ESTALE)  # errors of network file systems that may pass
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)  # another disk, or one without links
PLACE = (  # the path is wrong, not the disk: missing, taken or forbidden
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip
MAX_DOCUMENT = 2**24  # bytes of a JSON document; the card of 100,000 classes has 2 MB
ABANDONED = 60.0  # seconds: a younger draft may belong to a process that is about to lock it
PAUSES = (0.1, 0.4, 1.6)  # seconds before the second, third and last attempt


def write(path: Path, data: bytes) -> None:
    """Replace `path` with `data`, durably. Raises `UsageError` for a wrong path, `WorkFailed` when the disk fails.

    After a transient error it tries again with a new file, because a file is unreliable after a failed fsync.
    """
    for pause in PAUSES:
        try:
            return _write(path, data)
        except WorkFailed as error:
            if getattr(error.__cause__, "errno", None) not in TRANSIENT:
                raise
            time.sleep(pause)
    return _write(path, data)


def _write(path: Path, data: bytes) -> None:
    with staged_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write and seek in. It is renamed to `path` on success and deleted on failure."""
    with reported(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
        try:
            with os.fdopen(handle, "w+b") as file, contextlib.ExitStack() as claims:
                with contextlib.suppress(OSError):  # a file system without locks
                    claims.enter_context(claimed(Path(name)))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())  # mkstemp gives 0600 whatever the umask
            os.replace(name, path)
            _fsync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise


@contextlib.contextmanager
def staged_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder to fill. It is renamed to `path` on success. With `replace`, an old `path` is removed.

    After a kill, `path` is the old folder or the new one, if need be with the help of `restore_replaced`.
    """
    with reported(path), contextlib.ExitStack() as claims:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(path.parent)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=TEMPORARY))
        claims.enter_context(claimed(temporary))
        old = None
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            _fsync_folder(temporary)
            if replace and path.exists():
                old = replace_folder(temporary, path)
            else:
                os.rename(temporary, path)
            _fsync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def settle(temporary: Path, path: Path) -> None:
    """Rename the complete file `temporary` to `path`, in the same folder, durably."""
    with reported(path):
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _fsync_folder(path.parent)


def make_folder(path: Path, *, parents: bool = False) -> None:
    """Create the folder `path`, and with `parents` the folders above it, unless it exists. Errors as `write`."""
    with reported(path):
        path.mkdir(exist_ok=True, parents=parents)


def append(path: Path, data: bytes) -> None:
    """Append `data` to `path`, durably. After an error, the file may end in a part of `data`."""
    is_new = not path.exists()
    with reported(path):
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _fsync_folder(path.parent)


def truncate_lines(path: Path, keep: int) -> None:
    """Keep the first `keep` lines of `path`, durably."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        if len(lines) > keep:
            write(path, b"".join(lines[:keep]))


def point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`. An older link is replaced in one step."""
    with reported(link):
        temporary = link.with_name(f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{link.name}")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target, target_is_directory=True)
        os.replace(temporary, link)


def move(file: Path, place: Path) -> None:
    """Move a file to a free name, also to another disk. Raises `UsageError` when the name is taken, as `write`."""
    with reported(place):
        try:
            os.link(file, place, follow_symlinks=False)  # unlike a rename, it never replaces a file
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _copy(file, place)
        try:
            os.unlink(file)
        except OSError:
            os.unlink(place)
            raise


def _copy(file: Path, place: Path) -> None:
    """Copy a file to a free name, durably; after a failure the name is free again."""
    with place.open("xb") as copy:
        try:
            with file.open("rb") as original:
                shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
            shutil.copystat(file, place)
        except BaseException:
            os.unlink(place)
            raise


def remove(path: Path) -> None:
    """Remove a file or a folder. A folder first gets a temporary name, so that no reader sees half of it."""
    with reported(path):
        if path.is_dir() and not path.is_symlink():
            temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
            os.replace(path, temporary)
            shutil.rmtree(temporary)
        else:
            path.unlink()


def require_writable(folder: Path, *, hint: Hint | Sequence[Hint]) -> None:
    """Raise `UsageError` unless `folder` can be written or created. Call it before long work; it creates nothing."""
    with reported(folder):
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EACCES if place.is_dir() else errno.ENOTDIR)
        raise UsageError(f"cannot write: {reason}", where=str(place), hint=hint)


def require_own(path: Path, start: bytes, *, hint: Hint | Sequence[Hint]) -> None:
    """Raise `UsageError` if `path` has no folder, or has something that does not begin with `start`, as ours does."""
    with reported(path):
        is_other = path.exists() and not path.is_file()
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                is_other = file.read(len(start)) != start
    if is_other or not path.parent.is_dir():
        problem = "this exists, and is another kind of file" if is_other else "its folder does not exist"
        raise UsageError(problem, where=str(path), hint=hint)


def free_space(folder: Path) -> int:
    """Return the free bytes of the disk on which `folder` is, or would be created."""
    with reported(folder):
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
        return shutil.disk_usage(place).free


def require_space(folder: Path, needed: int) -> None:
    """Raise `WorkFailed` when the disk of `folder` has less than `needed` bytes free."""
    if (free := free_space(folder)) < needed:
        raise WorkFailed(
            f"the disk is too full: {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free",
            where=str(folder),
            hint="free some space, then run the command again",
        )


def sweep(folder: Path) -> None:
    """Remove drafts that killed processes left in `folder`. The caller must hold the lock of the folder."""
    for path in folder.glob(TEMPORARY + "*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep_abandoned(folder: Path) -> None:
    """Remove drafts of dead processes, files and folders: old ones that no process has locked."""
    restore_replaced(folder)
    for path in folder.glob(TEMPORARY + "*") if os.name != "nt" else ():
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > ABANDONED and not path.is_symlink():
                with claimed(path):
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def read_json(path: Path, *, error: type[ResnetctlError], limit: int = MAX_DOCUMENT) -> dict[str, Any]:
    """Return the JSON object in a plain file. Raises `error` if the file cannot be read or is no object."""
    try:
        return fields.read_json(read_capped(path, limit, error=error))
    except ValueError as reason:
        raise error(f"it is not JSON: {str(reason).partition(';')[0]}", where=str(path)) from None


def read_capped(path: Path, limit: int, *, error: type[ResnetctlError]) -> bytes:
    """Return the bytes of a plain file. Raises `error` if it has over `limit` bytes, or as `open_regular`."""
    with open_regular(path, error=error) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise error(f"the file has more than {limit:,} bytes", where=str(path))
    return data


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync_folder(path: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Re-raise `OSError` as an error that names the path: `UsageError` for a wrong path, else `WorkFailed`."""
    try:
        yield
    except OSError as error:
        if error.errno in PLACE:
            raise UsageError(f"cannot write: {error.strerror}", where=_where(error, path)) from error
        hint = "free some space, then run the command again" if error.errno in (28, 122) else ()  # ENOSPC, EDQUOT
        raise WorkFailed(f"writing failed: {error.strerror or error}", where=_where(error, path), hint=hint) from error


def _where(error: OSError, path: Path) -> str:
    """Return the file that the system refused, or `path` if that file is a draft, whose name users do not know."""
    name = os.fsdecode(error.filename or path)
    return str(path) if TEMPORARY in name else name
