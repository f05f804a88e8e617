"""Writes are durable and whole, leave no temporary files, and name the path in errors."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetctl.errors import DataError, UsageError, WorkFailed
from resnetctl.system import exchange as exchanging
from resnetctl.system import storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(storage.TEMPORARY)]


# ---- files


def test_write_replaces_the_file_and_leaves_no_draft(folder: Path) -> None:
    storage.write(folder / "a", b"one")
    storage.write(folder / "a", b"two")
    assert (folder / "a").read_bytes() == b"two"
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_write_follows_the_umask(folder: Path) -> None:
    before = os.umask(0o027)
    try:
        storage.write(folder / "a", b"")
        with storage.staged_folder(folder / "b"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((folder / "b").stat().st_mode) == 0o750


def test_a_failed_write_keeps_the_old_file(folder: Path) -> None:
    storage.write(folder / "a", b"old")

    def fail() -> None:
        with storage.staged_file(folder / "a") as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (folder / "a").read_bytes() == b"old"
    assert not leftovers(folder)


def test_write_syncs_the_file_then_renames_then_syncs_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def traced_sync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def traced_replace(source: str, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(os, "replace", traced_replace)
    storage.write(folder / "a", b"x")
    assert done == ["file", "rename", "folder"]
    (folder / "part").write_bytes(b"y")
    done.clear()
    storage.settle(folder / "part", folder / "whole")
    assert done == ["file", "rename", "folder"]
    assert not (folder / "part").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_error_raises_work_failed(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkFailed, match="writing failed") as caught:
        storage.write(folder / "a", b"x")
    assert caught.value.where == str(folder / "a")
    assert bool(caught.value.hint) == (number != errno.EIO)
    assert not list(folder.iterdir())


def test_a_path_that_cannot_be_written_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot write") as caught:
        storage.write(folder / "missing" / "a", b"x")
    assert caught.value.where == str(folder / "missing" / "a")  # not the name of the draft
    (folder / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write"):
        storage.write(folder / "file" / "a", b"x")
    (folder / "taken").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        storage.write(folder / "taken", b"x")
    assert not leftovers(folder)


@pytest.mark.parametrize("number", storage.PLACE)
def test_every_errno_of_a_wrong_path_is_a_usage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.tempfile, "mkdtemp", refuse)
    with pytest.raises(UsageError, match="cannot write"), storage.staged_folder(folder / "a"):
        pass


@pytest.mark.parametrize("place", ["file", "file/below", "link"])
def test_require_writable_refuses_a_path_that_cannot_become_a_folder(folder: Path, place: str) -> None:
    (folder / "file").write_bytes(b"")
    (folder / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="cannot write: Not a directory") as caught:
        storage.require_writable(folder / place, hint="OUT=FOLDER")
    assert caught.value.where == str(folder / place.partition("/")[0])
    assert caught.value.hint == ("OUT=FOLDER",)


def test_require_writable_refuses_a_forbidden_folder_and_creates_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.require_writable(folder / "new" / "er", hint="")
    assert not (folder / "new").exists(), "require_writable creates nothing"
    monkeypatch.setattr(storage.os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot write: Permission denied") as caught:
        storage.require_writable(folder / "new" / "er", hint="")
    assert caught.value.where == str(folder)


# ---- appended lines


def test_append_adds_lines_and_truncate_lines_cuts_them(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    for line in (b"1\n", b"2\n", b"3\n", b"half"):
        storage.append(path, line)
    storage.truncate_lines(path, 9)
    assert path.read_bytes() == b"1\n2\n3\nhalf"
    storage.truncate_lines(path, 2)
    assert path.read_bytes() == b"1\n2\n"
    storage.truncate_lines(path, 0)
    assert path.read_bytes() == b""
    storage.truncate_lines(folder / "missing", 1)
    assert not (folder / "missing").exists()


# ---- folders


def test_a_staged_folder_appears_by_one_rename(folder: Path) -> None:
    with storage.staged_folder(folder / "deep" / "run") as temporary:
        (temporary / "a").write_bytes(b"x")
        assert not (folder / "deep" / "run").exists()
        assert temporary.parent == folder / "deep"
    assert (folder / "deep" / "run" / "a").read_bytes() == b"x"
    assert not leftovers(folder / "deep")


def test_a_failed_folder_never_appears(folder: Path) -> None:
    def fail() -> None:
        with storage.staged_folder(folder / "run") as temporary:
            (temporary / "a").write_bytes(b"x")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert not list(folder.iterdir())


def test_replace_removes_the_old_folder(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "old").write_bytes(b"")
    with storage.staged_folder(folder / "run", replace=True) as temporary:
        (temporary / "new").write_bytes(b"")
        assert (folder / "run" / "old").exists()
    assert [path.name for path in (folder / "run").iterdir()] == ["new"]
    assert not leftovers(folder)


def test_without_replace_an_existing_folder_stays(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "old").write_bytes(b"")
    with pytest.raises((UsageError, WorkFailed)), storage.staged_folder(folder / "run"):
        pass
    assert (folder / "run" / "old").exists()
    assert not leftovers(folder)


def no_exchange(first: Path, second: Path) -> bool:
    """Stand in for a file system that cannot exchange two folders."""
    return False


def test_a_failed_rename_restores_the_old_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "old").write_bytes(b"")

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(exchanging, "exchange", no_exchange)
    with pytest.raises(WorkFailed), storage.staged_folder(folder / "run", replace=True):
        pass
    assert (folder / "run" / "old").exists()
    assert not leftovers(folder)


REPLACE = """
import os, signal, sys; from pathlib import Path; from resnetctl.system import exchange, storage
def kill_at(name, owner):
    original = getattr(owner, name)
    def call(*args):
        result = original(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, call)
with storage.staged_folder(Path(sys.argv[1]) / "run", replace=True) as temporary:
    (temporary / "new").write_bytes(b"")
    if sys.argv[2] == "exchange":
        kill_at("exchange", exchange)
    else:
        exchange.exchange = lambda first, second: False
        kill_at(sys.argv[2], os)
"""


@pytest.mark.parametrize(("step", "content"), [("exchange", "new"), ("replace", "old"), ("rename", "new")])
def test_a_kill_while_a_folder_is_replaced_loses_nothing(folder: Path, step: str, content: str) -> None:
    """The process is killed after the exchange, or after each of the two renames that stand in for it."""
    (folder / "run").mkdir()
    (folder / "run" / "old").write_bytes(b"")
    done = subprocess.run([sys.executable, "-c", REPLACE, str(folder), step], check=False)
    assert done.returncode == -9
    storage.restore_replaced(folder)
    assert [path.name for path in (folder / "run").iterdir()] == [content]
    for path in folder.glob(storage.TEMPORARY + "*"):
        os.utime(path, (1, 1))
    with storage.staged_folder(folder / "run", replace=True) as temporary:
        (temporary / "next").write_bytes(b"")
    assert [path.name for path in (folder / "run").iterdir()] == ["next"]
    assert not leftovers(folder)


def test_a_folder_that_a_live_process_replaces_is_not_restored(folder: Path) -> None:
    old = folder / f"{storage.TEMPORARY}run-old"
    old.mkdir()
    with storage.claimed(old):
        storage.restore_replaced(folder)
        assert old.exists()
    storage.restore_replaced(folder)
    assert (folder / "run").is_dir()


# ---- links, removal, sweeping


def test_point_replaces_a_link(folder: Path) -> None:
    storage.point(folder / "last", "one")
    storage.point(folder / "last", "two")
    assert os.readlink(folder / "last") == "two"
    assert not leftovers(folder)


def test_remove_deletes_files_folders_and_links_but_no_targets(folder: Path) -> None:
    (folder / "dir" / "inner").mkdir(parents=True)
    (folder / "file").write_bytes(b"")
    storage.point(folder / "link", "dir")
    storage.remove(folder / "link")
    assert (folder / "dir" / "inner").is_dir()  # the link was removed, not its target
    storage.remove(folder / "file")
    storage.remove(folder / "dir")
    assert not list(folder.iterdir())
    with pytest.raises(UsageError, match="cannot write"):
        storage.remove(folder / "file")


def test_sweep_removes_drafts_only(folder: Path) -> None:
    (folder / f"{storage.TEMPORARY}dir" / "x").mkdir(parents=True)
    (folder / f"{storage.TEMPORARY}file").write_bytes(b"")
    (folder / "mine").mkdir()
    storage.sweep(folder)
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_sweep_removes_drafts_of_a_killed_process(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from resnetctl.system import storage\n"
        "with storage.staged_folder(Path(sys.argv[1]) / 'run') as temporary: os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 9
    assert len(leftovers(folder)) == 1
    assert not (folder / "run").exists()
    storage.sweep(folder)
    assert not leftovers(folder)


# ---- digests and transient errors


def test_sha256_is_that_of_the_file_content(folder: Path) -> None:
    (folder / "a").write_bytes(b"abc")
    assert storage.sha256(folder / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_transient_error_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAUSES", (0.0, 0.0, 0.0))
    for failures, works in ((3, True), (4, False)):
        left = [errno.EIO] * failures
        original = os.fsync

        def fsync(handle: int, left: list[int] = left, original: Callable[[int], None] = original) -> None:
            if left:
                raise OSError(left.pop(), "Input/output error")
            original(handle)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            if works:
                storage.write(folder / "a", b"x")
            else:
                with pytest.raises(WorkFailed, match="Input/output error"):
                    storage.write(folder / "b", b"x")
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_require_space_refuses_a_full_disk(folder: Path) -> None:
    storage.require_space(folder, 1)
    with pytest.raises(WorkFailed, match="the disk is too full") as caught:
        storage.require_space(folder, 2**60)
    assert "MB are free" in str(caught.value)


def test_abandoned_drafts_are_swept_and_claimed_ones_are_not(folder: Path) -> None:
    dead, young, live = (folder / f"{storage.TEMPORARY}{name}" for name in ("dead", "young", "live"))
    for path in (dead, young, live):
        path.mkdir()
    for path in (dead, live):
        os.utime(path, (1, 1))
    with storage.claimed(live), storage.staged_folder(folder / "new"):
        pass
    assert sorted(path.name for path in folder.iterdir()) == sorted([young.name, live.name, "new"])


def test_abandoned_files_are_swept_and_open_ones_are_not(folder: Path) -> None:
    dead, young, link = (folder / f"{storage.TEMPORARY}{name}" for name in ("dead", "young", "link"))
    for path in (dead, young):
        path.write_bytes(b"x")
    link.symlink_to("nowhere")
    os.utime(dead, (1, 1))
    os.utime(link, (1, 1), follow_symlinks=False)
    with storage.staged_file(folder / "a") as file:
        os.utime(file.name if isinstance(file.name, str) else file.fileno(), (1, 1))
        storage.sweep_abandoned(folder)
        file.write(b"whole")
    assert (folder / "a").read_bytes() == b"whole"
    assert sorted(path.name for path in folder.iterdir()) == sorted([young.name, link.name, "a"])


def test_read_capped_refuses_what_is_too_long_or_no_plain_file(folder: Path) -> None:
    (folder / "a").write_bytes(b"12345")
    assert storage.read_capped(folder / "a", 5, error=DataError) == b"12345"
    with pytest.raises(DataError, match="more than 4 bytes"):
        storage.read_capped(folder / "a", 4, error=DataError)
    with pytest.raises(DataError, match="not a plain file"):
        storage.read_capped(Path("/dev/zero"), 4, error=DataError)


@pytest.mark.parametrize("content", [b"", b"[" * 10**5, b"9" * 5000, b"[]", b"\xff"])
def test_read_json_has_one_error(folder: Path, content: bytes) -> None:
    (folder / "a").write_bytes(content)
    with pytest.raises(DataError) as caught:
        storage.read_json(folder / "a", error=DataError)
    assert caught.value.where == str(folder / "a")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_moves_to_a_free_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    def refuse(*paths: object, **options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    file, place = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"1")
    storage.move(file, place)
    assert (file.exists(), place.read_bytes()) == (False, b"1")
    file.write_bytes(b"2")
    with pytest.raises(UsageError, match="File exists"):
        storage.move(file, place)
    assert (file.read_bytes(), place.read_bytes()) == (b"2", b"1")


def test_a_copy_to_another_disk_that_fails_leaves_the_file_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object, **options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(*files: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(storage.shutil, "copyfileobj", full)
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(WorkFailed, match="No space left"):
        storage.move(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]


def test_a_file_that_cannot_be_removed_is_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, place, unlink = tmp_path / "a", tmp_path / "b", os.unlink
    file.write_bytes(b"1")

    def refuse(path: Path) -> None:
        if path == file:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        storage.move(file, place)
    assert (file.exists(), place.exists()) == (True, False)


def test_only_a_file_of_the_same_kind_is_written_over(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "images.csv", tmp_path / "notes.csv"
    mine.write_bytes(b"split,row,file\n")
    theirs.write_bytes(b"precious")
    (tmp_path / "empty").touch()
    for free in (mine, tmp_path / "empty", tmp_path / "new"):
        storage.require_own(free, b"split,row", hint="name another")
    for taken in (theirs, tmp_path):
        with pytest.raises(UsageError, match="another kind of file") as caught:
            storage.require_own(taken, b"split,row", hint="name another")
        assert caught.value.where == str(taken)
    with pytest.raises(UsageError, match="its folder does not exist"):
        storage.require_own(tmp_path / "missing" / "new", b"split,row", hint="name another")
