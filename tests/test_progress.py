"""Epochs of a training from Python: one line in a terminal, one table in a notebook, nothing where nobody looks."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from support.datasets import tiny

import resnetctl as rc
from resnetctl.facts import Doing, EpochTimed, Notice, Started, result_of
from resnetctl.progress import SHOWN, told, watched
from resnetctl.system import settings


def facts(count: int, *, val: Any = None) -> Iterator[Any]:
    started: Any = object.__new__(Started)
    config = SimpleNamespace(data="<digits>")
    for name, value in {"arch": SimpleNamespace(name="resnet20"), "config": config, "steps": 7 * count}.items():
        object.__setattr__(started, name, value)
    object.__setattr__(started, "steps_per_epoch", 7)
    yield Notice("text")
    yield started
    for epoch in range(1, count + 1):
        result: Any = SimpleNamespace(epoch=epoch, lr=0.1, train_loss=0.5, val=val, is_best=True)
        yield EpochTimed(result=result, seconds=2.0, images_per_second=1.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    assert len(list(watched(facts(2, val=SimpleNamespace(top1=0.5)), show=None))) == 4
    assert screen.getvalue().count("\n") == 1
    last = screen.getvalue().split("\r")[-1]
    assert "epoch 2/2  train loss 0.500  val accuracy 50.0% *  learning rate 0.1  time 2.0 s" in last


def test_what_begins_is_shown_and_is_no_warning(monkeypatch: pytest.MonkeyPatch, recwarn: Any) -> None:
    def work() -> Iterator[Any]:
        yield Doing("timing a few steps")
        yield Notice("5 epochs")

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    assert len(list(told(work(), progress=False))) == 2
    assert screen.getvalue() == ""
    assert [str(item.message) for item in recwarn] == ["5 epochs"]
    list(told(work(), progress=None))
    assert "timing a few steps" in screen.getvalue()


def test_a_narrow_terminal_gets_no_line_that_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    list(watched(facts(2), show=None))
    lines = [line.removesuffix("\n").removesuffix("\033[K") for line in screen.getvalue().split("\r")]
    assert max(map(len, lines)) == 39


@pytest.mark.parametrize("show", [True, False])
def test_what_the_work_returns_is_returned(show: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def work() -> Iterator[Any]:
        yield from facts(1)
        return "report"

    assert result_of(watched(work(), show=show)) == "report"


def test_a_second_run_begins_a_table_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := io.StringIO())
    list(watched([*facts(2), *facts(1)], show=True))
    shown = [re.findall(r"epoch (\d/\d)", line) for line in screen.getvalue().splitlines()]
    assert shown == [[], ["1/2"], ["2/2"], [], ["1/1"]]


@pytest.mark.parametrize("show", [None, False])
def test_a_pipe_and_a_silent_call_get_nothing(show: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal() if show is False else io.StringIO())
    assert len(list(watched(facts(2), show=show))) == 4
    assert screen.getvalue() == ""


def test_a_notebook_has_one_table_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[str] = []
    display: Any = ModuleType("IPython.display")
    display.HTML = str
    handle = SimpleNamespace(update=tables.append)
    display.display = lambda table, *, display_id: (tables.append(table), handle)[1]
    shell: Any = ModuleType("IPython")
    for name, module in {"IPython": shell, "IPython.display": display}.items():
        monkeypatch.setitem(sys.modules, name, module)
    shell.get_ipython = lambda: None  # IPython was imported, and nobody's kernel runs this process
    list(watched(facts(2), show=None))
    assert not tables
    shell.get_ipython = lambda: SimpleNamespace(kernel=object())
    list(watched(facts(SHOWN + 3), show=None))
    assert len(tables) == 1 + SHOWN + 3
    assert tables[-1].count("<tr>") == 1 + 1 + SHOWN
    assert ">3 before<" in tables[-1]
    assert "<caption>resnet20 on &lt;digits&gt;</caption>" in tables[-1]


def test_train_shows_its_epochs_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    tiny(settings.load().data_dir)
    run = rc.train(data="tiny", arch="resnet20", epochs=2, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[4] for line in shown.err.splitlines()[1:]] == ["1/2", "2/2"]
    rc.resume(run, epochs=3)
    assert capsys.readouterr().err == ""
    assert Path(run).name == run.path.name
