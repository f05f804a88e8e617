"""Stream images from `.tar`, `.tar.gz`, `.tar.xz` and `.zip`. Nothing is extracted; no member name becomes a path.

Images keep the order of the archive. A compressed tar is read forward only, and twice: first for the names. The sizes
in headers are not trusted: memory grows with the bytes that are really read. The CVE list in `docs/design/data.md`
has the known attacks and the reasons for the limits.
"""

import errno
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from resnetctl.data.reading.decode import MAX_BYTES, check_size
from resnetctl.data.reading.source import Item, Items, Layout, Seen, Source, Survey, clean, why_ignored
from resnetctl.data.reading.tar_header import open_tar
from resnetctl.errors import DataError, ResnetctlError, WorkFailed
from resnetctl.system.plain_files import EXHAUSTED

ALLOWANCE = 64 * 2**20  # bytes: an archive may unpack to ALLOWANCE + RATIO times its size
RATIO = 100  # images hardly compress, bombs compress 1,000 times
MAX_OTHERS = 10_000  # largest number of members that are not images, besides two per image
_CHUNK = 2**20  # bytes of a read
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    IndexError,
    KeyError,
)
_LOCAL = b"PK\x03\x04"  # begins the header of a zip member
_LOCAL_HEADER = 30  # bytes, before name and extra field
_DESCRIPTOR = 24  # bytes, at most, of sizes and checksum behind a zip member
_XZ_MEMORY = 160 * 2**20  # bytes that decoding may take; `xz -9` needs 65 MiB
_MAGIC = {b"\x1f\x8b": "tar.gz", b"\xfd7zXZ\0": "tar.xz", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip"}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive. `refusal` says why it must not be read as an image; "": it may."""

    name: str
    size: int
    is_folder: bool
    refusal: str
    read: Callable[[], bytes]


def sniff(path: Path) -> str | None:
    """Return `tar`, `tar.gz`, `tar.xz` or `zip`, by content; None for other files."""
    with path.open("rb") as file:
        head = file.read(512)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "tar" if head[257:262] == b"ustar" or path.suffix == ".tar" else None


def open_archive(path: Path, kind: str) -> Source:
    """Return the counted source of an archive. Raises `DataError` with all reasons when it is damaged or hostile."""
    seen = Seen()
    survey, problems = _surveyed(path, kind, seen)
    if suspects := seen.suspects():
        survey, problems = _surveyed(path, kind, Seen(suspects))
    if problems:
        raise DataError("the archive has members that are refused", where=str(path), problems=problems)
    return survey.source(partial(_items, path, kind))


def _surveyed(path: Path, kind: str, seen: Seen) -> tuple[Survey, list[str]]:
    survey = Survey(path, kind)
    problems: list[str] = []
    with closing(members(path, kind)) as found:
        for number, member in enumerate(found, start=1):
            try:
                _inspect(member, survey, seen)
            except ValueError as error:
                problems.append(f"{member.name[:200]!r}: {error}")
            if number - survey.images > MAX_OTHERS + 2 * survey.images or len(problems) > 100:
                raise DataError("too many members that are not images", where=str(path), problems=problems)
    return survey, problems


def _inspect(member: Member, survey: Survey, seen: Seen) -> None:
    parts = clean(member.name)
    if member.is_folder:
        survey.see_folder(parts)
        return
    if not parts:
        raise ValueError("its name is empty")
    if reason := why_ignored(parts):
        survey.see_folder(parts[:-1])  # many archives have no members for folders
        survey.see_other(reason, "/".join(parts))
        return
    if member.refusal:
        raise ValueError(member.refusal)
    if seen.before(parts):
        raise ValueError("the name occurs twice")
    survey.see_image(parts, member.size)


def _items(path: Path, kind: str, layout: Layout) -> Items:
    with closing(members(path, kind)) as found:
        for member in found:
            parts = clean(member.name)
            if member.is_folder or why_ignored(parts):
                continue
            place = layout.place(parts[:-1])
            if place is not None:
                yield Item("/".join(parts), place[0], place[1], member.read)


def members(path: Path, kind: str) -> Generator[Member, None, None]:
    """Yield the members in the order of the archive. Re-raises errors of damaged archives as `DataError`."""
    try:
        yield from _zip_members(path) if kind == "zip" else _tar_members(path, kind)
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException, *, inside: str = "") -> ResnetctlError:
    """Return the error for an archive: damaged, or refused by the system."""
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        return WorkFailed(f"the archive cannot be read: {error.strerror}", where=str(path), hint="ulimit -n 4096")
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return DataError(f"the archive cannot be read: {error.strerror}", where=str(path))
    return _damaged(path, f"{inside!r}: {error}" if inside else error)


def _damaged(path: Path, error: BaseException | str) -> DataError:
    return DataError(
        f"the archive is damaged: {error or type(error).__name__}", where=str(path), hint="download it again"
    )


def _tar_members(path: Path, kind: str) -> Iterator[Member]:
    with _unpacked(path, kind) as raw:
        stream = Forward(raw, path, can_seek=kind == "tar")
        archive = open_tar(stream)
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps every member in memory
            yield Member(info.name, info.size, info.isdir(), _tar_refusal(info), partial(_tar_read, stream, info))
        stream.expect_end()


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to {info.linkname[:200]!r}"
    return "" if info.isreg() and not info.issparse() else "a device, a pipe or a sparse file"


def _tar_read(stream: "Forward", info: tarfile.TarInfo) -> bytes:
    check_size(info.size, info.name)
    try:
        stream.seek(info.offset_data)
        data = stream.read(info.size)
    except _DAMAGE as error:
        raise _unreadable(stream.path, error) from error
    if len(data) != info.size:
        raise _damaged(stream.path, f"it ends inside {info.name!r}")
    return data


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        _expect_whole_directory(archive)
        budget = Budget(path)
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            yield Member(
                name, info.file_size, info.is_dir(), _zip_refusal(info), partial(_zip_read, archive, info, budget)
            )


def _expect_whole_directory(archive: zipfile.ZipFile) -> None:
    """Raise `BadZipFile` if the file has a member that its directory lacks: zipfile would leave it out silently."""
    file: Any = archive.fp
    end = 0
    offsets = sorted((info.header_offset, info.compress_size) for info in archive.infolist())
    for start, packed in [*offsets, (archive.start_dir, 0)]:
        if start - end >= _LOCAL_HEADER:
            file.seek(end)
            if _LOCAL in file.read(_DESCRIPTOR + len(_LOCAL)):
                raise zipfile.BadZipFile(f"its directory lacks the member at byte {end:,}")
        file.seek(start)
        header = file.read(_LOCAL_HEADER)
        end = start + len(header) + packed
        if header.startswith(_LOCAL) and len(header) == _LOCAL_HEADER:
            end += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")  # name, extra


def _zip_refusal(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "it is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    return "" if kind in (0, stat.S_IFREG) else "a link, a device or a pipe"


def _zip_read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: "Budget") -> bytes:
    data = bytearray()
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):  # the size in the directory is not trusted
                budget.spend(len(chunk))
                check_size(len(data) + len(chunk), info.filename)
                data += chunk
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(budget.path, error, inside=info.filename) from error
    return bytes(data)


@contextmanager
def _unpacked(path: Path, kind: str) -> Iterator[IO[bytes]]:
    openers: dict[str, Any] = {"tar": Path.open, "tar.gz": gzip.open, "tar.xz": _Xz}
    with openers[kind](path, "rb") as raw, io.BufferedReader(raw, _CHUNK) as buffered:
        yield buffered


class _Xz(io.RawIOBase):
    """The content of an xz file. `lzma.open` ignores what follows a stream, unless it is another stream."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = path.open(mode)
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return the number of bytes, 0 at the end. Raises `LZMAError` for damage, `EOFError`."""
        while True:
            rest = b""
            if self._decoder.eof:
                rest = self._next_stream()
                if not rest:
                    return 0
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)
            elif self._decoder.needs_input:
                rest = self._file.read(_CHUNK)
                if not rest:
                    raise EOFError("it ends inside a stream")
            data = self._decoder.decompress(rest, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _next_stream(self) -> bytes:
        """Return the first bytes behind the stream and its padding; empty at the end of the file."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (chunk := self._file.read(_CHUNK)):
            rest = chunk.lstrip(b"\0")
        return rest


class Budget:
    """Limits the unpacked bytes of an archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = ALLOWANCE + RATIO * path.stat().st_size

    def spend(self, count: int) -> None:
        """Count unpacked bytes. Raises `DataError` when they exceed the budget of the archive."""
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"the archive unpacks to more than {RATIO} times its size: refused as a decompression bomb",
                where=str(self.path),
                hint="unpack it yourself and add the folder",
            )


class Forward:
    """A forward-only stream that `tarfile` reads as a file.

    The size of a read is checked before memory is allocated, because a header may claim any size. A negative size sent
    tarfile into an endless loop (CVE-2025-8194). Unpacked bytes count against a `Budget`.
    """

    def __init__(self, raw: IO[bytes], path: Path, *, can_seek: bool) -> None:
        self.path = path
        self._raw = raw
        self._can_seek = can_seek
        self._budget = Budget(path)
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= max(MAX_BYTES, _CHUNK):
            raise ValueError(f"a header claims {size:,} bytes")
        self._last = data = self._raw.read(size)
        self._position += len(data)
        self._budget.spend(0 if self._can_seek else len(data))
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and position == self._position:
            return position
        if whence != io.SEEK_SET or position < self._position:
            raise ValueError("a header points backward")
        if self._can_seek:
            self._position = self._raw.seek(position)
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass
        return self._position

    def expect_end(self) -> None:
        """Raise `ValueError` unless the archive ends with zeros. Reading to the end also verifies its checksum.

        tarfile treats a broken header as the end. Without this check, later images would be missing silently.
        """
        if not self._last or self._last.strip(b"\0"):
            raise ValueError("it ends without an end mark, or a header is broken")
        while chunk := self.read(_CHUNK):
            if chunk.strip(b"\0"):
                raise ValueError("there is data after its end")
