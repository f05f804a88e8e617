"""Bytes out of a source that the user or the network brought: every read is capped, nothing is extracted.

A member of an archive is read by its exact name; no other name is looked at, and no file is ever made from one.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from resnetctl.errors import DataError
from resnetctl.system import download

MAX_MEMBERS = 64  # the published archives have under ten
UNREADABLE = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError, zlib.error)


class _Capped:
    """Reads at most `limit` bytes of `inner`, so that a small archive cannot unpack to an endless one."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self._inner, self._left = inner, limit

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to more bytes than the published archive")
        return data


def read_tar_member(archive: Path, name: str, *, limit: int, unpacked: int) -> bytes:
    """The member `name` of a `.tar.gz`: a regular file of at most `limit` bytes. One pass, up to the member.

    `unpacked` limits what is decompressed on the way. Raises `DataError` for anything else than those bytes.
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
        raise DataError(f"the archive is damaged or cut: {error}", where=where) from error
    raise DataError("the archive lacks a member", where=where)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, *, where: str, limit: int) -> bytes:
    if not member.isreg() or member.issparse():
        raise DataError("the member is not a plain file", where=where)
    if member.size > limit:
        raise DataError(f"the member has {member.size:,} bytes, more than {limit:,}", where=where)
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise DataError(f"the member is cut: {len(data):,} of {member.size:,} bytes", where=where)
    return data


def read_file(path: Path, *, limit: int) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`. Raises `DataError`, also beyond `limit` bytes."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(limit + 1)
    except UNREADABLE as error:
        raise DataError(f"the file is damaged or cannot be read: {error}", where=str(path)) from error
    if len(data) > limit:
        raise DataError(f"the file has more than {limit:,} bytes", where=str(path))
    return data


def identify(path: Path, published: Mapping[str, str], *, dataset: str) -> str:
    """Which of the `published` archives (name -> digest) the file is, whatever it is called.

    Raises:
        DataError: none; `problems` has the file's digests and the published ones.
    """
    found = {digest.partition(":")[0]: "" for digest in published.values()}
    for name, digest in published.items():
        kind = digest.partition(":")[0]
        found[kind] = found[kind] or download.digest_of(path, digest)
        if found[kind] == digest:
            return name
    raise DataError(
        f"the file is no published archive of '{dataset}': it may be cut or packed again",
        where=str(path),
        problems=[
            *(f"this file has  {digest}" for digest in found.values()),
            *(f"published is   {digest}  {name}" for name, digest in published.items()),
        ],
        hint=f"unpack it and give the folder: resnetctl data get {dataset} --from FOLDER",
    )


def must_exist(source: Path, *, dataset: str) -> None:
    """Raises `DataError` unless the user's `source` is a file or a folder."""
    if not (source.is_file() or source.is_dir()):
        raise DataError("no such file or folder", where=str(source), hint=f"resnetctl data get {dataset} --from PATH")


def without_network(dataset: str, files: str) -> tuple[str, ...]:
    """What a person can do whose download failed."""
    return (
        f"resnetctl data get {dataset} --from {files}  (your own copy)",
        "resnetctl train --data digits  (embedded, no network)",
    )


def first_with_all(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first of `folders` that has every file of `names`."""
    wanted = list(names)
    return next((folder for folder in folders if all((folder / name).is_file() for name in wanted)), None)
