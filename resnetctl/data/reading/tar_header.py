"""Headers of tar members, for `tarfile`. Extended headers (PAX, GNU) are limited, and read here in linear time.

tarfile searches a PAX header with regular expressions that take quadratic time: 1,231 bytes kept it busy for hours.
"""

import re
import tarfile
from typing import Any, Self

MAX_EXTENDED = 2**16  # bytes of an extended header; a path needs at most 4,096
_EXTENDED = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_LENGTH = re.compile(rb"([1-9][0-9]{0,4}) ")  # a record is at most as long as the header
_SIZE = re.compile(r"[0-9]{1,19}")
_PLAIN = re.compile(  # the tar header of a plain file, with octal digits in every number field
    rb"""
    [^\0].{99}                      # name
    (?: [0-7]{7}[\0\ ] ){3}         # mode, owner, group
    (?: [0-7]{11}[\0\ ] ){2}        # size, time
    [0-7]{6}\0\ 0\0{100}            # checksum, type "regular file", no link name
    .{72}                          # magic, owner's and group's names
    (?: [0-7]{7}[\0\ ] | \0{8} ){2} # device
    \0{155}.{12}                   # no prefix
    """,
    re.DOTALL | re.VERBOSE,
)


def open_tar(file: Any) -> tarfile.TarFile:
    """Return a `TarFile` for reading `file`, whose members have only the fields that `_Header` names."""
    return tarfile.TarFile(fileobj=file, mode="r", tarinfo=_Header)


class _Header(tarfile.TarInfo):
    """A tar header in which only name, link name, size, type and `issparse` are certain to be set.

    Most headers are of plain files and match `_PLAIN`, which is fast. `tarfile` reads the others field by field.
    """

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> Self:  # type: ignore[override]  # typeshed lacks bytes
        """Return the header in 512 bytes. Raises `tarfile.HeaderError` when they are not a header."""
        if not _PLAIN.fullmatch(buf) or int(buf[148:154], 8) != sum(buf) - sum(buf[148:156]) + 8 * 32:
            return super().frombuf(buf, encoding, errors)
        info = cls(buf[:100].partition(b"\0")[0].decode(encoding, errors))
        info.size = int(buf[124:135], 8)
        return info

    def _proc_member(self, archive: Any) -> tarfile.TarInfo:
        """Return the member that this header begins. `tarfile` documents this method as the one to override."""
        if self.type in _EXTENDED and not 0 <= self.size <= MAX_EXTENDED:
            raise ValueError(f"an extended header claims {self.size:,} bytes, more than {MAX_EXTENDED:,}")
        if self.type == tarfile.GNUTYPE_SPARSE:
            return self._skip_map(archive)
        if self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            return self._extend_next(archive)
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # not in typeshed
        return member

    def _skip_map(self, archive: Any) -> Self:
        """Pass over the map of a GNU sparse file, which is never read."""
        has_more = self._sparse_structs[1]  # type: ignore[attr-defined]
        while has_more:
            has_more = any(archive.fileobj.read(tarfile.BLOCKSIZE)[504:505])
        self.sparse = b""
        return self._place(archive)

    def _extend_next(self, archive: Any) -> tarfile.TarInfo:
        """Read this PAX header, and apply it to the member that follows."""
        records = _records(archive.fileobj.read(_padded(self.size))[: self.size])
        is_sparse = any(key.startswith("GNU.sparse.") for key in records)
        if self.type == tarfile.XGLTYPE and (is_sparse or records.keys() & {"path", "linkpath", "size"}):
            raise ValueError("a global header sets the name or the size of all members")
        try:
            member = type(self).fromtarfile(archive)
        except tarfile.HeaderError as error:  # else tarfile takes it for the end
            raise ValueError(f"no member follows an extended header: {error}") from None
        if self.type == tarfile.XGLTYPE:
            return member
        member.name = records.get("GNU.sparse.name", records.get("path", member.name)).rstrip("/")
        member.linkname = records.get("linkpath", member.linkname)
        member.sparse = b"" if is_sparse else member.sparse
        if "size" in records:
            if not _SIZE.fullmatch(records["size"]):
                raise ValueError("the size in an extended header is not a number")
            member.size = int(records["size"])
            member._place(archive)
        return member

    def _place(self, archive: Any) -> Self:
        """Tell `archive` where the next header is."""
        self.offset_data = self.offset_data or archive.fileobj.tell()
        has_data = self.isreg() or self.type not in tarfile.SUPPORTED_TYPES
        archive.offset = self.offset_data + (_padded(self.size) if has_data else 0)
        return self


def _records(data: bytes) -> dict[str, str]:
    """Return the records `LENGTH KEY=VALUE` of a PAX header. Raises `ValueError` unless they fill it."""
    records = {}
    place = 0
    while place < len(data):
        length = _LENGTH.match(data, place)
        end = place + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header is broken")
        key, _, value = data[length.end() : end - 1].partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        place = end
    return records


def _padded(size: int) -> int:
    """Return the bytes that `size` bytes take in a tar file, which has blocks of 512."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
