import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnetctl.data.datasets.files import (
    MAX_MEMBERS,
    first_with_all,
    identify,
    must_exist,
    read_file,
    read_tar_member,
    without_network,
)
from resnetctl.errors import DataError
from resnetctl.hints import Call, in_shell

Member = tuple[str, bytes] | tarfile.TarInfo


def packed(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def linked(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "a.tar.gz"


def read(archive: Path, name: str = "d/a.bin", limit: int = 100, unpacked: int = 1 << 20) -> bytes:
    return read_tar_member(archive, name, limit=limit, unpacked=unpacked)


def test_read_tar_member_matches_the_exact_name(archive: Path) -> None:
    archive.write_bytes(packed(("d/other", b"1"), ("d/a.bin", b"wanted"), ("d/a.bin", b"second")))
    assert read(archive) == b"wanted"


def test_other_names_are_ignored_and_nothing_is_written(archive: Path) -> None:
    before = sorted(archive.parent.parent.rglob("*"))
    names = ["../../evil", "/tmp/evil-resnetctl", "d/../d/a.bin", "./d/a.bin", "D/A.BIN", "d/a.bin ", "d/a.bin\n"]
    archive.write_bytes(packed(*[(name, b"evil") for name in names], ("d/a.bin", b"good")))
    assert read(archive) == b"good"
    assert sorted(archive.parent.parent.rglob("*")) == sorted([*before, archive])
    assert not Path("/tmp/evil-resnetctl").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_member_that_is_not_a_plain_file_is_refused(archive: Path, kind: bytes) -> None:
    archive.write_bytes(packed(("d/secret", b"x"), linked("d/a.bin", "/etc/hostname", kind)))
    with pytest.raises(DataError, match="not a plain file"):
        read(archive)


def test_a_member_over_its_limit_is_refused(archive: Path) -> None:
    archive.write_bytes(packed(("d/a.bin", b"x" * 101)))
    with pytest.raises(DataError, match="101 bytes, more than 100"):
        read(archive)


def test_a_bomb_is_refused_at_the_limit(archive: Path) -> None:
    archive.write_bytes(packed(("d/filler", bytes(30_000_000)), ("d/a.bin", b"x")))
    assert archive.stat().st_size < 100_000
    with pytest.raises(DataError, match="more bytes than the published"):
        read(archive)


def test_too_many_members_are_refused(archive: Path) -> None:
    archive.write_bytes(packed(*[(f"d/{number}", b"") for number in range(MAX_MEMBERS)], ("d/a.bin", b"x")))
    with pytest.raises(DataError, match=f"more than {MAX_MEMBERS} members"):
        read(archive)


def test_a_missing_member_is_named(archive: Path) -> None:
    archive.write_bytes(packed(("d/other", b"x")))
    with pytest.raises(DataError, match="lacks a member") as raised:
        read(archive)
    assert raised.value.where == f"{archive}: d/a.bin"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_archive_is_refused(archive: Path, share: float) -> None:
    content = bytes(hashlib.sha256(bytes([number])).digest()[0] for number in range(90))
    whole = packed(("d/a.bin", content))
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError):
        read(archive)


def test_a_file_that_is_not_an_archive_is_an_error(archive: Path) -> None:
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="damaged"):
        read(archive)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_mutated_archive_gives_the_bytes_or_a_data_error(archive: Path, data: st.DataObject) -> None:
    content = bytes(range(80))
    raw = bytearray(gzip.decompress(packed(("d/first", b"1"), ("d/a.bin", content))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 2047))] = data.draw(st.integers(0, 255))
    archive.write_bytes(gzip.compress(bytes(raw), 1))
    try:
        member = read(archive)
    except DataError:
        return
    assert len(member) <= 100


def test_read_file_unpacks_gz_and_keeps_the_limit(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes(b"12345")
    zipped.write_bytes(gzip.compress(b"12345"))
    assert read_file(plain, limit=5) == read_file(zipped, limit=5) == b"12345"
    for path in (plain, zipped):
        with pytest.raises(DataError, match="more than 4 bytes"):
            read_file(path, limit=4)


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(bytes(1000), mtime=0)[:-9]])
def test_read_file_reports_a_damaged_gz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    if not content:  # an empty file unpacks to nothing; the caller checks the size
        assert read_file(path, limit=2000) == b""
        return
    with pytest.raises(DataError, match="damaged"):
        read_file(path, limit=2000)


def test_identify_finds_a_renamed_archive(tmp_path: Path) -> None:
    path = tmp_path / "renamed"
    path.write_bytes(b"content")
    published = {
        "a.tar.gz": "sha256:" + "0" * 64,
        "b.tar.gz": "md5:" + hashlib.md5(b"content").hexdigest(),
    }
    assert identify(path, published, dataset="x") == "b.tar.gz"


def test_identify_lists_all_digests_when_none_matches(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(b"conte")
    published = {"a.tar.gz": "sha256:" + "0" * 64}
    with pytest.raises(DataError) as raised:
        identify(path, published, dataset="x")
    text = "\n".join(raised.value.problems)
    assert hashlib.sha256(b"conte").hexdigest() in text
    assert "0" * 64 in text
    assert raised.value.hint == (Call("data get", ("x",), {"from": "FOLDER"}, note="reads the unpacked folder"),)


def test_must_exist_hints_at_a_copy(tmp_path: Path) -> None:
    must_exist(tmp_path, dataset="x")
    with pytest.raises(DataError, match="no such file"):
        must_exist(tmp_path / "gone", dataset="x")
    copy, embedded = map(in_shell, without_network("cifar10", "a.tar.gz"))
    assert copy.startswith("resnetctl data get cifar10 --from a.tar.gz")
    assert embedded.startswith("resnetctl train --data digits")


def test_first_with_all_returns_the_first_complete_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "a").touch()
    for name in ("a", "b"):
        (inner / name).touch()
    assert first_with_all([tmp_path, inner], ["a", "b"]) == inner
    assert first_with_all([tmp_path], ["a", "b"]) is None
