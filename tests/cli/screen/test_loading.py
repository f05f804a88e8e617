"""A note is shown while PyTorch loads, on a terminal only."""

import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from resnetctl.cli.screen import loading
from resnetctl.errors import UsageError


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(loading, "PATIENCE", 0.01)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))


@pytest.mark.usefixtures("terminal", "no_torch")
def test_a_long_import_shows_a_note_and_removes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loading.torch_note():
        pretend(monkeypatch)
        time.sleep(0.2)
    assert capsys.readouterr().err == "Loading PyTorch…\r                \r"


@pytest.mark.usefixtures("terminal", "no_torch")
def test_a_quick_import_or_another_module_shows_no_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loading.torch_note():
        time.sleep(0.1)
    monkeypatch.setattr(loading, "PATIENCE", 60.0)
    with loading.torch_note():
        pretend(monkeypatch)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_torch")
def test_without_a_terminal_there_is_no_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loading.torch_note():
        pretend(monkeypatch)
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("terminal")
def test_a_loaded_torch_shows_no_note(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch)
    loading.load_torch()
    assert capsys.readouterr().err == ""


def test_a_removed_current_folder_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="the current folder was removed"):
        loading.load_torch()


@pytest.mark.usefixtures("terminal")
def test_long_work_shows_its_note_and_removes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "PATIENCE", 0.01)
    with loading.working("Exporting…"):
        time.sleep(0.2)
    assert capsys.readouterr().err == "Exporting…\r          \r"
    monkeypatch.setattr(loading, "PATIENCE", 60.0)
    with loading.working("Exporting…"):
        pass
    assert capsys.readouterr().err == ""
