"""The CSV file keeps whole rows, whatever a kill left, and refuses to mix tables."""

import csv
from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.tasks.predictions.table import Table, open_table

COLUMNS = ("class", "probability")
HARD = [
    "a.png",
    "with,comma.png",
    'with"quote.png',
    "with\nnewline.png",
    "with\r\nboth.png",
    "with\rreturn.png",
    "\udcff.png",
    " ü.png",
]


def write(path: Path, names: list[str], *, weights: str = "abc") -> int:
    """Write the rows that are missing; return how many were there before."""
    with open_table(path, weights=weights, columns=COLUMNS) as table:
        for name in names:
            if not table.is_done(name):
                table.add(name, ["cat", "0.9"])
        return table.before


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


def test_names_are_stored_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert write(path, HARD) == 0
    assert rows(path) == [["file", *COLUMNS, "problem", "weights"], *([name, "cat", "0.9", "", "abc"] for name in HARD)]


def test_rows_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, HARD[:3])
    assert write(path, HARD) == 3
    assert [row[0] for row in rows(path)[1:]] == HARD
    before = path.read_bytes()
    assert write(path, HARD) == len(HARD)
    assert path.read_bytes() == before


def test_a_table_that_was_torn_at_any_byte_becomes_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, HARD)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        write(path, HARD)
        assert path.read_bytes() == whole, length


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,age\nbob,3\n", "its columns are not"),
        (b"file,class,problem,weights\n", "its columns are not"),
        (b"my notes", "no table of predictions"),
        (b"file,class,probability,problem,weights\na.png,cat\n", "a row has 2 fields"),
        (b"file,class,probability,problem,weights\na.png,cat,0.9,,other\n", "other weights"),
    ],
)
def test_another_table_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        write(path, HARD)
    assert path.read_bytes() == content


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a plain file"):
        write(tmp_path, HARD)


def outcome(path: Path, *results: tuple[str, str]) -> Table:
    """Write a row for each (name, problem) that is not done, and return the table."""
    with open_table(path, weights="abc", columns=COLUMNS) as table:
        for name, problem in results:
            if not table.is_done(name):
                table.add(name, ["", ""] if problem else ["cat", "0.9"], problem=problem)
    return table


def test_a_bad_image_that_stays_bad_keeps_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    outcome(path, ("bad.png", "no image"), ("a.png", ""))
    before = path.read_bytes()
    table = outcome(path, ("bad.png", "no image"), ("a.png", ""))
    assert path.read_bytes() == before
    assert (table.before, table.rows) == (1, 2)


@pytest.mark.parametrize("name", HARD)
def test_a_repaired_image_gets_its_row_where_the_bad_one_was(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / "a.csv", tmp_path / "whole.csv"
    outcome(path, ("first.png", ""), (name, "no image"), ("bad.png", "empty"))
    table = outcome(path, ("first.png", ""), (name, ""), ("bad.png", "empty"), ("last.png", ""))
    outcome(whole, ("first.png", ""), (name, ""), ("bad.png", "empty"), ("last.png", ""))
    assert path.read_bytes() == whole.read_bytes()
    assert (table.before, table.rows) == (1, 4)
    assert outcome(path, (name, "")).before == 3


def test_an_image_with_another_problem_has_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    outcome(path, ("bad.png", "no image"))
    assert outcome(path, ("bad.png", "empty"), ("bad.png", "empty")).rows == 1
    assert rows(path)[1:] == [["bad.png", "", "", "empty", "abc"]]


def test_the_bad_row_of_an_image_that_is_not_named_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    outcome(path, ("gone.png", "no image"))
    outcome(path, ("a.png", ""))
    assert [row[0] for row in rows(path)[1:]] == ["gone.png", "a.png"]


def test_a_kill_between_the_new_row_and_its_place_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = tmp_path / "a.csv", tmp_path / "whole.csv"
    results = [("bad.png", ""), ("worse.png", "empty"), ("a.png", "")]
    outcome(whole, *results)
    outcome(path, ("bad.png", "no image"), ("worse.png", "no image"))
    with monkeypatch.context() as patch:
        patch.setattr(Table, "settle", lambda self, path: self.flush())
        outcome(path, *results)
    assert len(rows(path)) == 1 + 5
    table = outcome(path, *results)
    assert path.read_bytes() == whole.read_bytes()
    assert (table.before, table.rows) == (2, 3)


def test_a_table_behind_a_link_stays_there(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    outcome(tmp_path / "link.csv", ("bad.png", "no image"))
    outcome(tmp_path / "link.csv", ("bad.png", ""))
    assert (tmp_path / "link.csv").is_symlink()
    assert rows(tmp_path / "a.csv")[1:] == [["bad.png", "cat", "0.9", "", "abc"]]


def test_a_set_of_many_long_classes_is_read_again(tmp_path: Path) -> None:
    path, limit = tmp_path / "a.csv", csv.field_size_limit()
    with open_table(path, weights="abc", columns=COLUMNS) as table:
        table.add("a.png", ["x" * 2 * limit, "0.9"])
    assert write(path, ["a.png"]) == 1
    assert csv.field_size_limit() == limit


def test_two_processes_cannot_write_one_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with open_table(path, weights="abc", columns=COLUMNS), pytest.raises(UsageError, match="in use"):
        write(path, HARD)


def test_a_row_of_many_megabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resnetctl.tasks.predictions.table as module

    path = tmp_path / "a.csv"
    write(path, ["a.png"])
    path.write_bytes(path.read_bytes() + b'"' + b"x" * 200 + b"\n" * 200)
    monkeypatch.setattr(module, "LONGEST_ROW", 100)
    with pytest.raises(UsageError, match="too long"):
        write(path, HARD)


def test_a_table_says_whether_a_name_is_done_without_keeping_the_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    names = [f"photos/{number:06}.jpg" for number in range(2000)]
    write(path, names)
    with open_table(path, weights="abc", columns=COLUMNS) as table:
        assert isinstance(table, Table)
        assert all(map(table.is_done, names))
        assert not any(table.is_done(f"photos/{number:06}.png") for number in range(2000))
        assert table._done.nbytes == 8 * 2000
