"""A recipe's band: what n seeds reached, and what other seeds must reach."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.config.layers import from_file, recipes
from resnetctl.errors import InputError, UsageError
from resnetctl.runs import RunDir
from resnetctl.system import settings
from resnetctl.tasks.sweep.bands import LEAST, Band, BandReport, band_of, bands, verify
from resnetctl.training.launch import Trainer

BAND = Band(
    recipe="fast",
    data="digits",
    n=5,
    mean=0.95,
    sd=0.01,
    hardware="a machine",
    date="2026-11-29",
    config={"threads": 1},
)


def trainer(accuracy: dict[int, float]) -> Trainer:
    """Return a trainer whose runs reach these accuracies, by seed; other seeds do not finish."""

    def start(asked: Any, settings: Any) -> Iterator[Any]:
        run = RunDir(asked.request.out / asked.request.name)
        run.path.mkdir()
        run.save_config(f"seed = {asked.config.seed}\n", {})
        yield None
        finish(run)

    def resume(path: Path, settings: Any) -> Iterator[Any]:
        yield None
        finish(RunDir(path))

    def finish(run: RunDir) -> None:
        seed = run.read_config().seed
        if seed in accuracy:
            run.save_summary({"kept": "best", "best": {"epoch": 1, "val_top1": accuracy[seed]}, "epochs": 1})
        else:
            run.save_failure("the loss is not finite")

    return Trainer(start=start, resume=resume)


def verified(accuracy: dict[int, float], *, band: Band = BAND) -> BandReport:
    facts = verify(band, settings.load(), seeds=3, trainer=trainer(accuracy))
    while True:
        try:
            next(facts)
        except StopIteration as end:
            report: BandReport = end.value
            return report


@pytest.mark.parametrize("band", bands().bands, ids=lambda band: f"{band.recipe}-{band.data}")
def test_each_band_belongs_to_a_recipe_and_says_where_it_was_measured(band: Band) -> None:
    assert band.recipe in recipes()
    assert band.n >= 3
    assert 0 < band.mean < 1
    assert 0 < band.sd < 0.1
    assert band.hardware
    assert len(band.date) == len("2026-11-29")
    assert band_of(band.recipe, band.data) == band


def test_new_seeds_are_trained_with_the_recipe() -> None:
    report = verified({5: 0.95, 6: 0.94, 7: 0.96})
    assert (report.seeds, report.mean, report.is_inside) == ({5: 0.95, 6: 0.94, 7: 0.96}, pytest.approx(0.95), True)
    configs = sorted(Path(report.group, "queue").glob("*.toml"))
    assert [from_file(path).values["seed"] for path in configs] == [5, 6, 7]
    assert from_file(configs[0]).values["epochs"] == 10
    assert from_file(configs[0]).values["threads"] == 1


@pytest.mark.parametrize("mean", [0.90, 0.99])
def test_a_mean_outside_the_band_is_found_on_both_sides(mean: float) -> None:
    report = verified(dict.fromkeys((5, 6, 7), mean))
    assert not report.is_inside
    assert not report.interval[0] <= report.mean <= report.interval[1]


def test_the_interval_is_that_of_a_prediction() -> None:
    """t(0.975, 4) = 2.7764; sd * sqrt(1/5 + 1/3) = 0.0073030."""
    low, high = BAND.interval(3)
    assert (high - low) / 2 == pytest.approx(2.7764 * 0.0073030, rel=1e-4)
    assert BAND.interval(100)[0] > low
    assert dataclasses.replace(BAND, mean=0.999).interval(3)[1] == 1  # no accuracy is higher
    equal = dataclasses.replace(BAND, sd=0.0)
    assert equal.interval(3) == pytest.approx((0.95 - LEAST, 0.95 + LEAST))


def test_a_verification_goes_on_where_it_stopped() -> None:
    facts = verify(BAND, settings.load(), seeds=3, trainer=trainer({5: 0.95}))
    next(facts)
    next(facts)
    facts.close()
    assert verified({5: 0.95, 6: 0.95, 7: 0.95}).is_inside


def test_runs_that_failed_are_no_verdict() -> None:
    with pytest.raises(InputError, match="not all runs"):
        verified({5: 0.95})


@pytest.mark.parametrize(
    ("recipe", "data", "words"), [("slow", None, "no recipe"), ("fast", "zoo", "no band on 'zoo'")]
)
def test_a_band_that_does_not_exist_is_refused(recipe: str, data: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        band_of(recipe, data)
