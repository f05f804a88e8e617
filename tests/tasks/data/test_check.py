"""`data check` checks a stored dataset or a folder."""

from pathlib import Path

import pytest
from support.pictures import tree, write_tree
from support.toy_dataset import done, run

from resnetctl.errors import DataError
from resnetctl.facts import Notice, Progress
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.check import check


def test_check_reads_a_path_or_a_stored_dataset(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(train=12, test=10), "train/cat/bad.png": b""})
    report, facts = run(check(str(root), settings))
    assert (report.failed, report.images) == (True, 45)
    assert [finding.code for finding in report.findings] == ["unreadable"]
    assert facts[-1] == Progress(what=f"checking {root}", done=45, total=45, unit="images")
    done(add(AddRequest(path=root, name="pets", on_bad_image="skip"), settings))
    assert not done(check("pets", settings)).failed
    with pytest.raises(DataError, match="no dataset is called 'pest'"):
        done(check("pest", settings))
    with pytest.raises(DataError, match="no such file or folder"):
        done(check("./pest", settings))


def test_a_folder_is_told_which_files_are_skipped(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(train=12, test=10), "train/cat/notes.txt": b"x", "train/dog/a.md": b""})
    _, facts = run(check(str(root), settings))
    assert facts[0] == Notice("skipped 2 files (.md: 1, .txt: 1): train/cat/notes.txt, train/dog/a.md")
