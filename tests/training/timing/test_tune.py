"""`tune` tries powers of two, chooses the fastest number of threads, and writes it into the run's config."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.datasets import tiny
from support.jobs import job, to_train

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.layers import from_file
from resnetctl.facts import Notice
from resnetctl.system import settings
from resnetctl.tasks.train import train
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.timing import tune as task
from resnetctl.training.timing.tune import candidates, choose, tune


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend to have two cores, and take samples of one step."""
    before = torch.get_num_threads()
    tiny(settings.load().data_dir)
    monkeypatch.setattr(task, "cores_granted", lambda: 2)
    monkeypatch.setattr(task, "SAMPLE", 0.0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])],
)
def test_powers_of_two_and_all_cores_are_tried(cores: int, counts: list[int]) -> None:
    assert candidates(cores) == counts


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({1: [100.0, 100.0, 100.0], 2: [180.0, 185.0, 190.0]}, 2),
        ({1: [100.0, 100.0, 100.0], 2: [101.0, 102.0, 99.0]}, 1),  # noise
        ({1: [100.0, 50.0, 200.0], 2: [120.0, 60.0, 240.0]}, 2),  # a busy round hits both
        ({1: [100.0] * 3, 2: [150.0] * 3, 4: [153.0] * 3}, 2),
        ({1: [100.0] * 3, 2: [90.0] * 3, 4: [150.0] * 3}, 4),
        ({1: [100.0]}, 1),
    ],
)
def test_more_threads_must_be_clearly_faster(rates: dict[int, list[float]], best: int) -> None:
    assert choose(rates) == best


def tuned_job(settled: Job) -> tuple[Job, str]:
    work, texts = tune(settled, fresh_state(settled, fresh_model(settled))), []
    while True:
        try:
            texts.append(next(work).text)
        except StopIteration as end:
            return end.value, "\n".join(texts)


def test_only_the_threads_change_and_a_notice_shows_the_rates() -> None:
    settled = job("threads=1")
    tuned, texts = tuned_job(settled)
    assert tuned.config.model_copy(update={"threads": 1}) == settled.config
    assert tuned.origins == {**settled.origins, "threads": "tune"}
    assert tuned.config.threads in (1, 2)
    assert torch.get_num_threads() == tuned.config.threads
    assert texts.startswith("tune: ")
    assert "images/s in 7 rounds by threads: 1: " in texts


def test_the_faster_number_of_threads_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "interleave", lambda ways, **_: {"1": [10.0, 11.0], "2": [20.0, 22.0]})
    assert tuned_job(job())[0].config.threads == 2
    monkeypatch.setattr(task, "interleave", lambda ways, **_: {"1": [10.0, 11.0], "2": [9.0, 8.0]})
    assert tuned_job(job())[0].config.threads == 1


def test_an_accelerator_has_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "device", torch.device("meta"))
    settled = job()
    work = tune(settled, None)  # type: ignore[arg-type]
    assert "nothing to choose" in next(work).text
    with pytest.raises(StopIteration) as end:
        next(work)
    assert end.value.value is settled


def test_a_tuned_run_records_its_threads_and_its_config_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "choose", lambda rates: 2)
    list(train(to_train(from_sets(["data=tiny", "epochs=1"]), name="a", tune=True), settings.load()))
    first = runs.find("a", Path("runs"))
    assert (first.read_config().threads, first.sources()["threads"]) == (2, "tune")
    monkeypatch.setattr(task, "interleave", None)
    list(train(to_train(from_file(first.config), name="b"), settings.load()))
    assert runs.find("b", Path("runs")).weights.read_bytes() == first.weights.read_bytes()


def test_tune_comes_before_the_budget() -> None:
    request = to_train(from_sets(["data=tiny"]), budget=3600.0, tune=True, dry_run=True)
    texts = [fact.text for fact in train(request, settings.load()) if isinstance(fact, Notice)]
    (tuned,) = (place for place, text in enumerate(texts) if text.startswith("tune: "))
    (budgeted,) = (place for place, text in enumerate(texts) if "without a budget" in text)
    assert tuned < budgeted
    assert not Path("runs").exists()
