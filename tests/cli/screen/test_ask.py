"""A deletion needs a yes, on a terminal."""

import io

import pytest

from resnetctl.cli.screen.ask import confirm
from resnetctl.errors import UsageError


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    stdin = io.StringIO(text)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)


@pytest.mark.parametrize("text", ["y\n", "YES\n", " yes \n"])
def test_yes_returns(terminal: None, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer(monkeypatch, text)
    confirm("Sure? ")


@pytest.mark.parametrize("text", ["", "\n", "n\n", "yess\n"])
def test_anything_else_removes_nothing(terminal: None, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer(monkeypatch, text)
    with pytest.raises(UsageError, match="nothing was removed"):
        confirm("Sure? ")


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="no terminal"):
        confirm("Sure? ")
