"""The fast reader of tar headers agrees with tarfile."""

import random
import tarfile

import pytest

from resnetctl.data.reading.tar_header import _Header


def parsed(kind: type[tarfile.TarInfo], data: bytes) -> object:
    """Return the fields of a header that a member needs, or the type of the error."""
    try:
        info = kind.frombuf(data, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return type(error), str(error)
    return info.name, info.size, info.type, info.linkname, info.issparse()


def headers(form: int) -> list[bytes]:
    infos = [
        tarfile.TarInfo(name) for name in ("a/1.png", "é" * 20, "d" * 150 + "/1.png", "x" * 99, "a/", "\udcff.png")
    ]
    for number, info in enumerate(infos):
        info.size, info.mtime, info.uname = number * 1000, 1_600_000_000 + number, "someone"
    infos[4].type = tarfile.DIRTYPE
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.FIFOTYPE):
        infos.append(tarfile.TarInfo("a/"))
        infos[-1].type, infos[-1].linkname = kind, "b"
    infos.append(tarfile.TarInfo("giant"))
    infos[-1].size = 2**36
    blocks = b"".join(info.tobuf(form, "utf-8", "surrogateescape") for info in infos)
    return [blocks[start : start + 512] for start in range(0, len(blocks), 512)]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_fast_header_reader_agrees_with_tarfile(form: int) -> None:
    """Some headers are damaged, and some of these have a repaired checksum. tarfile must accept all fast headers."""
    chance = random.Random(form)
    for header in headers(form):
        assert parsed(_Header, header) == parsed(tarfile.TarInfo, header)
        for _ in range(400):
            data = bytearray(header)
            for _ in range(chance.choice((1, 1, 3))):
                place = chance.choice((chance.randrange(512), chance.randrange(100, 160), chance.randrange(329, 350)))
                data[place] = chance.choice((0, 32, 48, 55, 56, 47, 128, 255, chance.randrange(256)))
            if chance.random() < 0.8:
                data[148:156] = b"%06o\0 " % (sum(data) - sum(data[148:156]) + 256)
            assert parsed(_Header, bytes(data)) == parsed(tarfile.TarInfo, bytes(data))


def test_plain_headers_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [header for header in headers(tarfile.GNU_FORMAT) if header[156:157] == b"0" and header[124] < 128]
    monkeypatch.setattr(tarfile, "nti", None)  # tarfile needs it to read a header
    for header in quick[:2]:
        assert _Header.frombuf(header, "utf-8", "surrogateescape").isreg()
