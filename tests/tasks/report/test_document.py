"""The page and the plots of a report are written as files."""

from pathlib import Path

import pytest
from support.trained import card, make_run, make_store

from resnetctl.data.store import Store
from resnetctl.errors import UsageError
from resnetctl.system import settings
from resnetctl.tasks.report.report import report

SPLITS = {"train": 200, "test": 60}


@pytest.fixture
def store() -> Store:
    return make_store(splits=SPLITS)


def test_the_page_and_the_plots_are_written(store: Store, tmp_path: Path) -> None:
    run = make_run(card(store))
    for epoch in (1, 2):
        run.log({"epoch": epoch, "train_loss": 1 / epoch, "train_top1": 0.5, "lr": 0.1}, {"epoch": epoch})
    outcome = report(None, settings=settings.load())
    first = outcome.write_html(tmp_path / "a.html").read_bytes()
    assert report(None, settings=settings.load()).write_html(tmp_path / "b.html").read_bytes() == first
    assert b"Curves of the run" in first
    assert b"Corrupted images" in first
    assert store.card.digests["test"].encode() in first
    assert {path.name for path in outcome.write_plots(tmp_path / "plots" / "new")} >= {"loss.svg", "roc.svg"}
    assert outcome._repr_html_().count("<svg") == 9


def test_a_page_that_cannot_be_written_is_an_error(store: Store, tmp_path: Path) -> None:
    make_run(card(store))
    with pytest.raises(UsageError, match="cannot write"):
        report(None, settings=settings.load()).write_html(tmp_path / "missing" / "a.html")
