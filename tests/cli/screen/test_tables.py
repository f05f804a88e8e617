"""Tables and numbers print aligned on a terminal, tab-separated in a pipe."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from resnetctl.cli.screen import tables

LONG = "/a/long/path/" + "x" * 100


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


def test_a_piped_table_is_tab_separated_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    tables.table(["name", "where"], [["a\tb", LONG], [None, 3]])
    assert capsys.readouterr().out.splitlines() == ["name\twhere", f"a\\tb\t{LONG}", "\t3"]


@pytest.mark.usefixtures("capsys", "tty")
def test_a_table_on_a_terminal_is_aligned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    tables.table(["name", "summary"], [["resnet20", "a text that is wider than the terminal is"], ["r", "short"]])
    assert capsys.readouterr().out.splitlines() == [
        "name      summary",
        "resnet20  a text that is wider than the",
        "          terminal is",
        "r         short",
    ]


@pytest.mark.usefixtures("capsys", "tty")
@pytest.mark.parametrize(
    ("columns", "header"),
    [
        (55, "name" + " " * 31 + "a bit wider  another"),
        (54, "name" + " " * 31 + "a bit wider"),
        (46, "name" + " " * 31 + "a bit wider"),
        (45, "name"),
    ],
)
def test_a_narrow_table_leaves_columns_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, header: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.table(["name", "a bit wider", "another"], [["x" * 33, "y", "z"]], drop=("another", "a bit wider"))
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == header
    gone = [name for name in ("another", "a bit wider") if name not in header]
    assert captured.err == (f"no room for {', '.join(gone)}; --json has all columns\n" if gone else "")


@pytest.mark.usefixtures("capsys", "tty")
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (47, [f"stage  {'accuracy':30}  bytes", f"a\\tb   {'9' * 30}  12"]),
        (43, ["stage  accuracy", f"a\\tb   {'9' * 30}", "", "stage  bytes", "a\\tb   12"]),
    ],
)
def test_a_table_that_is_too_wide_is_folded_into_two(
    columns: int, expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.folded(["stage", "accuracy", "bytes"], [["a\tb", "9" * 30, 12]], at=2)
    assert capsys.readouterr().out.splitlines() == expected


def test_a_folded_table_is_one_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    tables.folded(["stage", "accuracy", "bytes"], [["a", "90 %", 12]], at=2)
    assert capsys.readouterr().out.splitlines() == ["stage\taccuracy\tbytes", "a\t90 %\t12"]


def test_a_moment_that_cannot_be_read_is_shown_as_it_is() -> None:
    for text in ("yesterday", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"):
        assert tables.moment(text) == text


def test_wide_characters_count_two_columns() -> None:
    lines = tables.aligned(["class", "n"], [["猫", "1"], ["dog", "2"]], width=80)
    assert lines[1:] == ["猫     1", "dog    2"]


def test_pairs_leave_out_none(capsys: pytest.CaptureFixture[str]) -> None:
    tables.pairs([("a", 1), ("long name", "x"), ("b", None)])
    assert capsys.readouterr().out.splitlines() == ["a          1", "long name  x"]


def test_control_characters_in_cells_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    tables.pairs([("class", "\x1b[2J")])
    assert capsys.readouterr().out == "class  \\x1b[2J\n"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (tables.percent(0.91949), "91.9 %"),
        (tables.percent(None), "-"),
        (tables.interval(0.918, 0.9291), "91.8-92.9"),
        (tables.count(272474), "272,474"),
        (tables.size(512), "512 B"),
        (tables.size(1_100_000), "1.1 MB"),
        (tables.size(3.2e12), "3200.0 GB"),
        (tables.duration(3.14), "3.1 s"),
        (tables.duration(98), "1 min 38 s"),
        (tables.duration(7500), "2 h 05 min"),
        (tables.clock(64), "0:01:04"),
        (tables.clock(-1), "0:00:00"),
        (tables.brief(3.14), "3.1 s"),
        (tables.brief(64), "1:04"),
        (tables.brief(605), "10:05"),
        (tables.brief(3664), "1:01:04"),
    ],
)
def test_numbers_print_with_their_unit(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_name_from_others_forges_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    tables.table(["name", "status"], [["x\nforged\tin store", "\x1b[2Jy"]])
    tables.pairs([("note", "a\nname  forged")])
    assert capsys.readouterr().out.splitlines() == [
        "name\tstatus", "x\\nforged\\tin store\t\\x1b[2Jy", "note  a\\nname  forged"
    ]  # fmt: skip


def test_pixels_of_a_class_have_separators() -> None:
    rows = ({"name": "sky", "iou": 0.5, "interval": (0.4, 0.6), "count": 1_384_549},)
    header, (row,) = tables.net_classes(cast(Any, SimpleNamespace(per_class=rows, unit="pixels")))
    assert dict(zip(header, row, strict=True)) == {
        "class": "sky", "iou": "50.0 %", "95 % interval": "40.0-60.0", "pixels": "1,384,549"
    }  # fmt: skip
