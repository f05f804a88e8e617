"""Read untrusted files and archive members. Every read has a size limit, and nothing is extracted to disk.

An archive member is read by its exact name. No name in an archive ever becomes the path of a file.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.system import download

MAX_MEMBERS = 64  # the published archives have fewer than ten
UNREADABLE = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError, zlib.error)


class _Capped:
    """Reads at most `limit` bytes of `inner`, so that a small archive cannot unpack without end."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self._inner, self._left = inner, limit

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to more bytes than the published archive")
        return data


def read_tar_member(archive: Path, name: str, *, limit: int, unpacked: int) -> bytes:
    """Return the content of the member `name` of a `.tar.gz`, which is read once, up to this member.

    Args:
        limit: the largest size of the member, in bytes.
        unpacked: the largest number of bytes to decompress before and in the member.

    Raises:
        DataError: the archive is damaged, or the member is missing, too large or not a plain file.
    """
    where = f"{archive}: {name}"
    try:
        with (
            gzip.open(archive, "rb") as packed,
            tarfile.open(fileobj=cast("IO[bytes]", _Capped(packed, unpacked)), mode="r|") as tar,
        ):
            for count, member in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise DataError(f"more than {MAX_MEMBERS} members", where=where)
                if member.name == name:
                    return _content(tar, member, where=where, limit=limit)
    except UNREADABLE as error:
        raise DataError(f"the archive is damaged or truncated: {error}", where=where) from error
    raise DataError("the archive lacks a member", where=where)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, *, where: str, limit: int) -> bytes:
    if not member.isreg() or member.issparse():
        raise DataError("the member is not a plain file", where=where)
    if member.size > limit:
        raise DataError(f"the member has {member.size:,} bytes, more than {limit:,}", where=where)
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise DataError(f"the member is truncated: {len(data):,} of {member.size:,} bytes", where=where)
    return data


def read_file(path: Path, *, limit: int) -> bytes:
    """Return the content of a file, unpacked if its name ends in `.gz`. Raises `DataError` above `limit` bytes too."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(limit + 1)
    except UNREADABLE as error:
        raise DataError(f"the file is damaged or cannot be read: {error}", where=str(path)) from error
    if len(data) > limit:
        raise DataError(f"the file has more than {limit:,} bytes", where=str(path))
    return data


def identify(path: Path, published: Mapping[str, str], *, dataset: str) -> str:
    """Return the name of the `published` archive (name -> digest) with the digest of the file at `path`.

    Raises:
        DataError: no published archive has this digest; `problems` lists all digests.
    """
    digests = {digest.partition(":")[0]: "" for digest in published.values()}
    for name, digest in published.items():
        kind = digest.partition(":")[0]
        digests[kind] = digests[kind] or download.digest_of(path, digest)
        if digests[kind] == digest:
            return name
    raise DataError(
        f"the file is not a published archive of '{dataset}': it may be truncated or packed again",
        where=str(path),
        problems=[
            *(f"this file has  {digest}" for digest in digests.values()),
            *(f"published is   {digest}  {name}" for name, digest in published.items()),
        ],
        hint=from_copy(dataset, "FOLDER", note="reads the unpacked folder"),
    )


def must_exist(source: Path, *, dataset: str) -> None:
    """Raise `DataError` unless the user's `source` is a file or a folder."""
    if not (source.is_file() or source.is_dir()):
        raise DataError("no such file or folder", where=str(source), hint=from_copy(dataset, "PATH"))


def from_copy(dataset: str, path: str, *, note: str = "") -> Call:
    """Return the hint to read a dataset from a copy that the user has."""
    return Call("data get", (dataset,), {"from": path}, note=note)


def without_network(dataset: str, path: str) -> tuple[Call, ...]:
    """Return the hints for a failed download."""
    return (
        from_copy(dataset, path, note="reads your own copy"),
        Call("train", settings={"data": "digits"}, note="embedded, needs no network"),
    )


def first_with_all(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """Return the first of `folders` that has all files `names`, or None."""
    files = list(names)
    return next((folder for folder in folders if all((folder / name).is_file() for name in files)), None)
