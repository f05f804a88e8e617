"""Results go to stdout, everything else to stderr, in characters that the stream can write."""

import io
import json
import sys

import pytest

from resnetctl.cli.screen import streams
from resnetctl.errors import WorkFailed


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_results_go_to_stdout_and_messages_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    streams.result("a result")
    streams.say("a word")
    assert capsys.readouterr() == ("a result\n", "a word\n")


def test_a_document_is_ascii_json_that_starts_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    streams.document({"schema": "resnetctl.eval/1", "classes": ["chät"]})
    text = capsys.readouterr().out
    assert text.isascii()
    assert list(json.loads(text)) == ["schema", "classes"]
    assert json.loads(text) == {"schema": "resnetctl.eval/1", "classes": ["chät"]}


def test_a_closed_stdout_is_an_error_but_a_closed_stderr_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    streams.say("nobody hears it")
    with pytest.raises(WorkFailed, match="stdout is closed"):
        streams.result("x")


def test_a_full_stderr_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    streams.say("x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï", "plain ünï"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("back\rfront", "back\\x0dfront"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_printable_shows_control_characters(text: str, shown: str) -> None:
    assert streams.printable(text) == shown


def test_an_ascii_stream_gets_plain_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    streams.say("━━─ │ ä…")
    assert raw.getvalue() == b"==- | \\xe4\n"


@pytest.mark.parametrize(
    ("term", "no_color", "terminal", "color"),
    [("xterm", "", True, True), ("xterm", "1", True, False), ("dumb", "", False, False), ("unknown", "", False, False)],
)
def test_colours_depend_on_term_and_no_color(
    monkeypatch: pytest.MonkeyPatch, *, term: str, no_color: str, terminal: bool, color: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert streams.is_terminal(Tty()) is terminal
    assert streams.has_color(Tty()) is color
    assert streams.paint("x", "bold", stream=Tty()) == ("\x1b[1mx\x1b[0m" if color else "x")


def test_without_a_terminal_no_variable_brings_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    assert streams.paint("x", "red", stream=io.StringIO()) == "x"
    assert not streams.is_terminal(None)


def test_width_honours_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "123")
    assert streams.width() == 123
    monkeypatch.setenv("COLUMNS", "7")
    assert streams.width() == 40


def test_a_notice_is_folded_on_a_terminal_and_one_line_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "runs/one is not finished: " + "resnetctl train --resume runs/one goes on, " * 3
    assert streams.notice(text) == text
    monkeypatch.setattr(sys, "stderr", Tty())
    monkeypatch.setenv("TERM", "xterm")
    lines = streams.notice(text).splitlines()
    assert max(map(len, lines)) <= 80 < len(text)
    assert " ".join(lines) == text.strip()


def test_prints_of_others_do_not_reach_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with streams.reserved():
        print("from a plugin")
        print("no newline", end="")
        streams.result("a result")
        print()
    print("after")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("a result\nafter\n", "from a plugin\nno newline\n")


def test_a_closed_stdout_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with streams.reserved():
        assert sys.stdout is None
        with pytest.raises(WorkFailed, match="stdout is closed"):
            streams.result("x")
