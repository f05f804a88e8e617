"""The search trains a discarded state while the rate rises, and its proposal follows from the curve."""

import dataclasses
import math

import pytest
import torch
from support.jobs import job

from resnetctl.errors import NonFinite
from resnetctl.facts import Progress
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.timing import lr_search
from resnetctl.training.timing.lr_search import FEWEST, HIGHEST, LOWEST, STEPS, LrPoint, LrReport, proposal, search


def points(*losses: float) -> list[LrPoint]:
    return [LrPoint(lr=10.0 ** (place - 4), loss=loss, smooth=loss) for place, loss in enumerate(losses)]


def drain(settled) -> tuple[list[Progress], LrReport]:
    facts, work = [], search(settled, fresh_state(settled, fresh_model(settled)))
    while True:
        try:
            facts.append(next(work))
        except StopIteration as end:
            return facts, end.value


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_search, "SECONDS", 0.0)  # as few steps as possible


def test_the_rates_rise_until_the_loss_explodes_and_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", str(tmp_path / "runs"))
    facts, report = drain(job("lr=0.3", "warmup=5"))
    rates = [point.lr for point in report.points]
    assert rates[0] == LOWEST
    assert rates == sorted(rates)
    assert (rates[-1] == pytest.approx(HIGHEST)) is not bool(report.stopped)
    assert len(facts) >= len(report.points)
    assert report.lowest in rates
    assert all(math.isfinite(point.smooth) for point in report.points)
    assert not (tmp_path / "runs").exists()


def test_the_same_job_has_the_same_curve() -> None:
    settled = job()
    _, first = drain(settled)
    _, again = drain(settled)
    assert first == again


def test_a_slow_network_takes_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_search, "SECONDS", 120.0)
    assert lr_search._affordable(0.001) == STEPS
    assert lr_search._affordable(60.0) == FEWEST
    assert lr_search._rates(FEWEST)[-1] == pytest.approx(HIGHEST)


def test_the_proposal_is_where_the_loss_falls_fastest_and_missing_where_it_never_falls() -> None:
    assert proposal(points(2.3, 2.2, 1.0, 3.0)) == 1e-3  # from 2.3 to 1.0 around it
    assert proposal(points(2.3, 2.2, 2.1, 1.2, 1.0, 0.99, 5.0)) == 1e-1  # the lowest point is at 10
    assert proposal(points(2.3, 2.29, 2.3)) is None
    assert proposal(points(2.3, 2.5, 9.0)) is None


def test_the_window_of_a_slow_search_is_no_wider() -> None:
    """Its first steps have rates that lie closer together, because only they show that it is slow."""
    rates = [*lr_search._rates(STEPS)[: lr_search.TIMED], *lr_search._rates(FEWEST)[lr_search.TIMED :]]
    falls = {20: 0.6, 40: 0.5, 48: 0.5}  # one large fall, and two smaller ones that a wide window would add up
    losses = [3.0 - sum(fall for place, fall in falls.items() if step >= place) for step in range(FEWEST)]
    slow = [LrPoint(lr=lr, loss=loss, smooth=loss) for lr, loss in zip(rates, losses, strict=True)]
    even = [dataclasses.replace(point, lr=lr) for point, lr in zip(slow, lr_search._rates(FEWEST), strict=True)]
    assert proposal(slow) == proposal(even)


def test_a_loss_that_is_not_finite_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lr_search.fit

    def breaks(state, plan):
        for fact in real(state, plan):
            yield fact
            if state.step == 5:
                raise NonFinite("no")

    monkeypatch.setattr(lr_search, "fit", breaks)
    _, report = drain(job())
    assert report.stopped == lr_search.NOT_FINITE
    assert len(report.points) == 5

    def infinite(state, plan):
        for fact in real(state, plan):
            yield dataclasses.replace(fact, loss=torch.tensor(math.inf)) if fact.step == 4 else fact

    monkeypatch.setattr(lr_search, "fit", infinite)
    _, report = drain(job())
    assert (report.stopped, len(report.points)) == (lr_search.NOT_FINITE, 3)


def test_the_plot_is_an_svg_and_the_table_is_short() -> None:
    _, report = drain(job())
    assert report.plot()["find-lr.svg"].startswith(b"<svg")
    assert "<figcaption>Loss by learning rate</figcaption>" in report.plot()._repr_html_()
    assert 1 < len(report.rows_of_table()) <= lr_search.ROWS
    document = report.to_json()
    assert document["schema"] == "resnetctl.train.lr/1"
    assert set(document["points"][0]) == {"lr", "loss", "smooth"}


def test_a_first_loss_that_is_not_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(state, plan):
        raise NonFinite("no")
        yield

    monkeypatch.setattr(lr_search, "fit", breaks)
    with pytest.raises(NonFinite):
        drain(job())
    assert proposal(points(2.3)) is None
