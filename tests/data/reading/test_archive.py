"""Archives are read without extracting and never trusted: no member name may create a file."""

import errno
import gzip
import io
import lzma
import os
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.pictures import grey, solid, tree, write_tar, write_zip

from resnetctl.data.reading import archive, decode
from resnetctl.data.reading.archive import Forward, open_archive, sniff
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.tar_header import MAX_EXTENDED
from resnetctl.errors import DataError, WorkFailed

GOOD = tree(train=3, test=1)
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}


def read(path: Path) -> dict[str, bytes]:
    kind = sniff(path)
    assert kind is not None
    return {item.name: item.read() for item in open_archive(path, kind).items()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder two levels down, so that files outside it are detected."""
    path = tmp_path / "outer" / "inner"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("prefix", ["", "./", "photos/", "./photos/"])
def test_a_tar_is_read_in_the_order_of_its_members(place: Path, kind: str, prefix: str) -> None:
    files = dict(random.Random(1).sample(sorted(GOOD.items()), len(GOOD)))
    path = write_tar(place / "a", {prefix + name: data for name, data in files.items()}, mode=MODES[kind])
    contents = read(path)
    assert list(contents.values()) == list(files.values())
    assert [name.removeprefix("photos/") for name in contents] == list(files)


def test_a_zip_is_read_in_the_order_of_its_members(place: Path) -> None:
    assert read(write_zip(place / "a.zip", GOOD)) == GOOD
    assert read(write_zip(place / "b.zip", GOOD, compression=zipfile.ZIP_STORED)) == GOOD


def test_backslashes_in_a_zip_are_folder_separators(place: Path) -> None:
    assert set(read(write_zip(place / "a.zip", {"train\\a\\1.png": solid(), "test\\a\\1.png": solid()}))) == {
        "train/a/1.png", "test/a/1.png"
    }  # fmt: skip


def test_skipped_images_do_not_change_the_others(place: Path) -> None:
    """A consumer may skip images of a stream; the others are still read correctly."""
    for kind, mode in MODES.items():
        path = write_tar(place / kind, GOOD, mode=mode)
        contents = {
            item.name: item.read() for number, item in enumerate(open_archive(path, kind).items()) if number % 2
        }
        assert contents == {name: data for number, (name, data) in enumerate(GOOD.items()) if number % 2}


def test_reading_an_archive_writes_nothing(place: Path) -> None:
    path = write_tar(place / "a.tar.gz", GOOD, mode="w:gz")
    before = sorted(place.parent.rglob("*"))
    read(path)
    assert sorted(place.parent.rglob("*")) == before


def test_other_files_are_ignored_and_counted(place: Path) -> None:
    files = {**GOOD, "README.md": b"", "train/cat/._0.png": b"", ".git/config": b"", "train/cat/x.json": b"{}"}
    for path in (write_tar(place / "a.tar", files), write_zip(place / "a.zip", files)):
        kind = sniff(path)
        assert kind is not None
        source = open_archive(path, kind)
        assert source.ignored == {".json": 1, ".md": 1, "hidden": 2}
        assert source.total == len(GOOD)


def test_an_empty_class_folder_is_listed(place: Path) -> None:
    empty = tarfile.TarInfo("train/bird")
    empty.type = tarfile.DIRTYPE
    assert open_archive(write_tar(place / "a.tar", GOOD, extra=(empty,)), "tar").empty == ("train/bird",)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


HOSTILE_MEMBERS = {
    "up": member("../escaped.png"),
    "far up": member("train/../../../escaped.png"),
    "absolute": member("/tmp/escaped.png"),
    "drive": member("C:\\escaped.png"),
    "drive slash": member("c:/escaped.png"),
    "backslashes": member("..\\..\\escaped.png"),
    "a script": member("../../.bashrc"),
    "only dots": member(".."),
    "up folder": member("../escaped", tarfile.DIRTYPE),
    "no name": member(""),
    "a dot": member("."),
    "link": member("train/cat/l.png", tarfile.SYMTYPE, "/etc/passwd"),
    "relative link": member("train/cat/l.png", tarfile.SYMTYPE, "../../../../etc/passwd"),
    "hard link": member("train/cat/l.png", tarfile.LNKTYPE, "/etc/passwd"),
    "hard link inside": member("train/cat/l.png", tarfile.LNKTYPE, "train/cat/0.png"),
    "link to itself": member("train/cat/l.png", tarfile.SYMTYPE, "l.png"),
    "link without a name": member("train/cat/l.png", tarfile.SYMTYPE, ""),
    "pipe": member("train/cat/p.png", tarfile.FIFOTYPE),
    "character device": member("train/cat/c.png", tarfile.CHRTYPE),
    "block device": member("train/cat/b.png", tarfile.BLKTYPE),
    "sparse": member("train/cat/s.png", tarfile.GNUTYPE_SPARSE),
    "twice": member("train/cat/0.png"),
    "twice with dots": member("./train/./cat//0.png"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_MEMBERS)
def test_a_hostile_member_is_refused_by_name(place: Path, name: str) -> None:
    info = HOSTILE_MEMBERS[name]
    before = sorted(place.parent.parent.rglob("*"))
    path = write_tar(place / "a.tar", GOOD, extra=(info,))
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.exit_code == 3
    assert caught.value.where == str(path)
    assert len(caught.value.problems) <= 1
    assert "\n" not in caught.value.headline
    assert set(place.parent.parent.rglob("*")) - set(before) == {path}


def test_all_hostile_members_are_in_one_error(place: Path) -> None:
    infos = (HOSTILE_MEMBERS["up"], HOSTILE_MEMBERS["link"], HOSTILE_MEMBERS["absolute"])
    with pytest.raises(DataError, match="has members that are refused") as caught:
        read(write_tar(place / "a.tar", GOOD, extra=infos))
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "its name leads out of the archive", "a link to '/etc/passwd'", "its name is an absolute path"
    ]  # fmt: skip


HARMLESS = {
    "a link to a folder": member("train/more", tarfile.SYMTYPE, "/etc"),
    "a device": member("null", tarfile.CHRTYPE),
    "dots in a name": member("train/cat/...txt"),
    "windows": member("CON"),
    "a trailing dot": member("train/cat/x."),
    "a hidden link": member("train/cat/.x.png", tarfile.SYMTYPE, "/etc/passwd"),
    "a long name": member("train/" + "x" * 5000 + ".txt"),
    "surrogates": member("train/cat/\udcff.txt"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_hostile_members_that_are_not_images_are_ignored(place: Path, name: str) -> None:
    assert read(write_tar(place / "a.tar", GOOD, extra=(HARMLESS[name],))) == GOOD


def test_names_that_clash_on_some_systems_are_kept(place: Path) -> None:
    files = {"a/x.png": grey(1), "a/X.png": grey(2), "a/CON.png": grey(3), "a/x.png.png": grey(4), "A/x.png": grey(5)}
    assert read(write_tar(place / "a.tar", files)) == files


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """Return a raw tar header with a valid checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:107], block[124 : 124 + len(size)], block[156:157], block[257:263] = b"0000644", size, kind, b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def huge(value: int) -> bytes:
    """Return a size in base 256, as GNU tar writes it: any number, also a negative one."""
    return (0xFF if value < 0 else 0x80).to_bytes() + value.to_bytes(11, "big", signed=True)


END = bytes(1024)
RAW = {
    "negative size": header(b"a/1.png", huge(-512)) + END,
    "very negative size": header(b"a/1.png", huge(-(2**80))) + END,
    "huge size": header(b"a/1.png", huge(2**62)) + END,
    "absurd size": header(b"a/1.png", huge(2**86)) + END,
    "no digits": header(b"a/1.png", b"zzzzzzzzzzz") + END,
    "giant extended header": header(b"pax", huge(2**40), b"x") + END,
    "giant global header": header(b"pax", huge(2**33), b"g") + END,
    "giant long name": header(b"././@LongLink", huge(2**40), b"L") + END,
    "giant long link": header(b"././@LongLink", huge(2**40), b"K") + END,
    "negative long name": header(b"././@LongLink", huge(-1), b"L") + END,
    "extended header without end": header(b"pax", b"00000000020\0", b"x") + b"99 path=x\n".ljust(512, b"\0") + END,
    "extended header of zeros": header(b"pax", b"00000001000\0", b"x") + bytes(512) + END,
    "extended header that repeats": header(b"pax", b"00000000012\0", b"x") * 400 + END,
    "long names without end": (header(b"././@LongLink", b"00000000010\0", b"L") + b"x".ljust(512, b"\0")) * 3000 + END,
    "old sparse": header(b"a/1.png", b"00000001000\0", b"S") + bytes(512) + END,
    "unknown type": header(b"a/1.png", b"00000000000\0", b"Z") + END,
    "only zeros": END,
    "one block": bytes(512),
    "no end mark": header(b"a/1.png", b"00000000000\0"),
    "cut member": header(b"a/1.png", b"00000100000\0") + bytes(700),
    "cut header": header(b"a/1.png", b"00000000000\0") + header(b"a/2.png", b"00000000000\0")[:300],
    "wrong checksum": header(b"a/1.png", b"00000000000\0") + b"\1" + header(b"a/2.png", b"0")[1:] + END,
    "path of digits": header(b"pax", b"%011o\0" % 10**6, b"x") + b"1" * 1000448 + END,
    "global header of digits": header(b"pax", b"%011o\0" % 60_000, b"g") + b"1" * 60_416 + END,
    "solaris header of digits": header(b"pax", b"%011o\0" % 60_000, b"X") + b"1" * 60_416 + END,
    "sparse digits": header(b"pax", b"00000000035\0", b"x") + b"29 GNU.sparse.offset=1111111\n".ljust(512, b"\0") + END,
    "global name": header(b"pax", b"00000000012\0", b"g") + b"10 path=x\n".ljust(512, b"\0") + END,
    "size of letters": header(b"pax", b"00000000012\0", b"x") + b"10 size=z\n".ljust(512, b"\0") + END,
    "something behind": header(b"a/1.png", b"00000000000\0") + END + header(b"a/2.png", b"00000000000\0") + END,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", RAW)
def test_a_header_with_false_sizes_is_refused_at_once(place: Path, name: str, packed: bool) -> None:
    path = place / "a.tar"
    path.write_bytes(gzip.compress(RAW[name]) if packed else RAW[name])
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in caught.value.headline
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize(("form", "digits"), [(b"x", 10**6), (b"x", MAX_EXTENDED), (b"g", MAX_EXTENDED), (b"L", 10**6)])
def test_an_extended_header_of_digits_costs_no_more_than_a_file(
    place: Path, kind: str, form: bytes, digits: int
) -> None:
    """tarfile searched a PAX header in quadratic time: one archive of 1,231 bytes took hours."""
    plain = write_tar(place / "plain", {**GOOD, "notes.txt": b"1" * 10**6}, mode=MODES[kind])
    raw = header(b"pax", b"%011o\0" % digits, form) + b"1" * digits + bytes(-digits % 512) + END
    packers: dict[str, Callable[[bytes], bytes]] = {"tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress}
    (place / "digits").write_bytes(packers[kind](raw))
    usual = cpu_time(lambda: read(plain))

    def refuse() -> None:
        with pytest.raises(DataError, match="extended header"):
            open_archive(place / "digits", kind)

    assert cpu_time(refuse) < 20 * usual


def cpu_time(work: Callable[[], object]) -> float:
    """Return the least CPU time of three calls, in seconds."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def test_names_and_sizes_in_extended_headers_are_used(place: Path) -> None:
    """tarfile's own PAX and GNU archives, with names and sizes that need an extended header, read as tarfile does."""
    files = {"a/" + "é" * 120 + "/1.png": grey(1), "a/\udcff" + "d" * 150 + "/2.png": grey(2), "b/1.png": grey(3)}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(place / "a.tar", "w", format=form, pax_headers={"comment": "of all members"}) as file:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), 1.5
                info.pax_headers = {"size": str(len(data)), "SCHILY.xattr.user": "x\n12 y=z\n"}
                file.addfile(info, io.BytesIO(data))
        assert read(place / "a.tar") == files


def bomb(path: Path, kind: str) -> Path:
    """Write 180 MB of zeros, named like an image, in at most a few hundred kilobytes."""
    zeros = bytes(2**20)
    size = 180 * 2**20
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for number in range(3):
                with file.open(f"a/{number}.png", "w") as opened:
                    for _ in range(60):
                        opened.write(zeros)
        return path
    with gzip.open(path, "wb", 1) if kind == "tar.gz" else lzma.open(path, "wb", preset=0) as file:
        file.write(header(b"a/1.png", b"%011o\0" % size))
        for _ in range(180):
            file.write(zeros)
        file.write(END)
    return path


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip"])
def test_a_bomb_is_refused_in_little_memory(place: Path, kind: str) -> None:
    path = bomb(place / "bomb", kind)
    tracemalloc.start()
    with pytest.raises(DataError, match="decompression bomb"):
        deque((item.read() for item in open_archive(path, kind).items()), maxlen=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 140 * 2**20


def test_a_bomb_of_one_member_is_refused_in_little_memory(place: Path) -> None:
    path = place / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a/1.png", "w") as opened:
        for _ in range(400):
            opened.write(bytes(2**20))
    items = open_archive(path, "zip").items()
    tracemalloc.start()
    with pytest.raises(DataError, match="decompression bomb"):
        next(items).read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20


def test_a_zip_whose_directory_lacks_members_is_damaged(place: Path) -> None:
    """One wrong length swallows the rest of the directory: zipfile then leaves these images out silently."""
    data = write_zip(place / "a.zip", GOOD).read_bytes()
    first, last = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    second = data.index(b"PK\1\2", first + 1)
    end = data[last:]
    broken = data[: second + 30] + struct.pack("<HH", last - second - 61, 0) + data[second + 34 :]
    first_only = data[:second] + end[:8] + struct.pack("<HHI", 1, 1, second - first) + end[16:]
    empty = data[:first] + end[:8] + struct.pack("<HHI", 0, 0, 0) + end[16:]
    for content in (broken, first_only, empty):
        (place / "b.zip").write_bytes(content)
        with pytest.raises(DataError, match=r"archive is damaged"):
            read(place / "b.zip")


def test_a_zip_with_data_before_it_and_descriptors_is_read(place: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(_Unseekable(buffer), "w") as file:  # type: ignore[arg-type]  # it writes descriptors
        for name, content in GOOD.items():
            file.writestr(name, content)
    (place / "a.zip").write_bytes(buffer.getvalue())
    assert read(place / "a.zip") == GOOD


class _Unseekable:
    def __init__(self, file: io.BytesIO) -> None:
        self.write, self.flush = file.write, file.flush


@pytest.mark.parametrize("garbage", [b"garbage", bytes(100) + b"x", b"\xfd7zXZ\0" + bytes(30)])
def test_garbage_behind_an_xz_archive_is_refused(place: Path, garbage: bytes) -> None:
    path = write_tar(place / "a.tar.xz", GOOD, mode="w:xz")
    path.write_bytes(path.read_bytes() + garbage)
    with pytest.raises(DataError, match="archive is damaged"):
        read(path)


def test_xz_streams_with_padding_are_read(place: Path) -> None:
    data = write_tar(place / "a.tar", GOOD).read_bytes()
    path = place / "b.tar.xz"
    path.write_bytes(lzma.compress(data[:1000]) + bytes(8) + lzma.compress(data[1000:]) + bytes(2**20 + 4))
    assert read(path) == GOOD
    path.write_bytes(lzma.compress(data)[:-20])
    with pytest.raises(DataError, match="archive is damaged"):
        read(path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_a_process_without_file_descriptors_is_no_damaged_archive(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(place / "a", GOOD) if kind == "zip" else write_tar(place / "a", GOOD, mode=MODES[kind])

    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    for owner, name in ((Path, "open"), (gzip, "open"), (zipfile, "ZipFile")):
        monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(WorkFailed, match="Too many open files"):
        open_archive(path, kind)


def test_many_classes_take_linear_time(place: Path) -> None:
    """Each member once caused a sum over all folders."""
    times = []
    for count in (1_000, 8_000):
        path = write_tar(place / str(count), {f"{number}/1.png": b"" for number in range(count)})
        times.append(cpu_time(partial(open_archive, path, "tar")))
    assert times[1] < 24 * times[0]


def test_too_many_members_that_are_not_images_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_OTHERS", 50)
    infos = tuple(member(f"x{number}") for number in range(80))
    with pytest.raises(DataError, match="too many members"):
        read(write_tar(place / "a.tar", {"a/1.png": solid()}, extra=infos))
    with pytest.raises(DataError, match="too many members"):
        read(write_zip(place / "a.zip", {f"x{number}": b"" for number in range(80)}))
    mac = {name: data for number in range(200) for name, data in ((f"a/{number}.png", b""), (f"a/._{number}.png", b""))}
    assert len(read(write_tar(place / "mac.tar", mac))) == 200


def zip_with(path: Path, change: Callable[[zipfile.ZipInfo], None], data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in GOOD.items():
            file.writestr(name, content)
        info = zipfile.ZipInfo("train/cat/odd.png")
        change(info)
        file.writestr(info, data)
    return path


def test_a_link_in_a_zip_is_refused(place: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(DataError) as caught:
        read(zip_with(place / "a.zip", link, b"/etc/passwd"))
    assert caught.value.problems == ("'train/cat/odd.png': a link, a device or a pipe",)


def patched(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """Return `data` with the bytes at `offset` after the last `mark` overwritten."""
    start = data.rindex(mark) + offset
    return data[:start] + value + data[start + len(value) :]


LAST = b"PK\x01\x02"
ZIPS: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": lambda data: patched(data, LAST, 8, b"\x01\x00"),
    "unknown method": lambda data: patched(data, LAST, 10, b"\x63\x00"),
    "wrong checksum": lambda data: patched(data, LAST, 16, b"\0\0\0\0"),
    "a size that lies": lambda data: patched(data, LAST, 24, struct.pack("<I", 10)),
    "no such place": lambda data: patched(data, LAST, 42, struct.pack("<I", 2**31)),
    "another name inside": lambda data: patched(data, b"PK\x03\x04", 30, b"y"),
    "cut": lambda data: data[: len(data) // 2],
    "no directory": lambda data: data[: data.index(LAST)],
    "a version of the future": lambda data: patched(data, LAST, 6, b"\xff\x00"),
    "an up name": lambda data: data.replace(b"test/dog/0.png", b"../../../0.png"),
    "an absolute name": lambda data: data.replace(b"test/dog/0.png", b"/tmp/dog/0.png"),
    "a backslash name": lambda data: data.replace(b"test/dog/0.png", b"..\\..\\dog.png"),
    "twice": lambda data: data.replace(b"test/dog/0.png", b"test/cat/0.png"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ZIPS)
def test_a_damaged_or_hostile_zip_is_one_error(place: Path, name: str) -> None:
    path = write_zip(place / "a.zip", GOOD)
    path.write_bytes(ZIPS[name](path.read_bytes()))
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in caught.value.headline
    assert caught.value.where == str(path)


def test_overlapping_members_count_each_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quoted-overlap bomb reads the same bytes many times; the budget counts the unpacked bytes."""
    path = write_zip(place / "a.zip", {f"a/{number}.png": bytes(5000) for number in range(40)})
    monkeypatch.setattr(archive, "ALLOWANCE", 0)
    monkeypatch.setattr(archive, "RATIO", 1)
    with pytest.raises(DataError, match="bomb"):
        read(path)


def test_a_large_member_is_a_bad_image_and_others_are_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a/1.png": grey(1), "a/2.png": os.urandom(5000), "a/3.png": grey(3)}
    monkeypatch.setattr(decode, "MAX_BYTES", 4096)
    for path in (write_tar(place / "a.tar", files), write_zip(place / "a.zip", files)):
        kind = sniff(path)
        assert kind is not None
        contents: list[bytes] = []
        for item in open_archive(path, kind).items():
            if item.name == "a/2.png":
                with pytest.raises(BadImage, match="over"):
                    item.read()
            else:
                contents.append(item.read())
        assert contents == [grey(1), grey(3)]


@pytest.mark.parametrize("kind", [*MODES, "zip"])
def test_a_mutated_archive_is_an_error_or_read_correctly(place: Path, kind: str) -> None:
    """Compressed archives have checksums, so images that load are unchanged. A plain tar has them in headers only."""
    path = place / "a"
    _ = write_zip(path, GOOD) if kind == "zip" else write_tar(path, GOOD, mode=MODES[kind])
    whole = path.read_bytes()
    chance = random.Random(kind)
    refused = 0
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(1, len(data)) :]
        path.write_bytes(data)
        try:
            contents = {item.name: item.read() for item in open_archive(path, kind).items()}
        except (DataError, BadImage):
            refused += 1
            continue
        if kind.startswith("tar."):
            assert contents == GOOD
        elif kind == "tar":
            assert len(contents) <= len(GOOD)
    assert refused > 20


def test_sniff_looks_at_the_content(place: Path) -> None:
    path = place / "x"
    for data, kind in ((b"\x1f\x8b", "tar.gz"), (b"\xfd7zXZ\0", "tar.xz"), (b"PK\5\6", "zip"), (b"text", None)):
        path.write_bytes(data)
        assert sniff(path) == kind


def test_a_stream_only_moves_forward(place: Path) -> None:
    path = place / "x"
    path.write_bytes(bytes(range(100)))
    stream = Forward(io.BytesIO(path.read_bytes()), path, can_seek=False)
    assert stream.read(3) == b"\0\1\2"
    assert stream.seek(10) == 10
    assert (stream.tell(), stream.read(1)) == (10, b"\n")
    for wrong in (lambda: stream.seek(5), lambda: stream.seek(0, io.SEEK_END), lambda: stream.read(-1), stream.read):
        with pytest.raises(ValueError, match=r"backward|claims"):
            wrong()
