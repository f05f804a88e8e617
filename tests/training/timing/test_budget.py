"""`budget` chooses the length, writes it into the run's config, and a resume times nothing again."""

import dataclasses
import itertools
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.datasets import tiny
from support.jobs import job, to_finetune, to_train

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import Draft
from resnetctl.config.layers import from_file
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import open_store
from resnetctl.errors import UsageError
from resnetctl.facts import Finished, Notice
from resnetctl.hints import Setting
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.training import launch
from resnetctl.training.job import Job, fresh_model, prepare
from resnetctl.training.plan import make_plan
from resnetctl.training.timing import budget
from resnetctl.training.timing.budget import choose_length, seconds_of, watched, with_length
from resnetctl.training.timing.pace import Pace

PACE = Pace(step=1.0, images=16, check=4.0, save=1.0, timed=9)  # 4 steps an epoch: 9 s


@pytest.fixture(autouse=True)
def data() -> None:
    tiny(settings.load().data_dir)


@pytest.fixture
def at_this_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measurement returns `PACE` and takes no time."""
    monkeypatch.setattr(budget, "pace", lambda *_, **__: PACE)
    for module in (budget, launch):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.mark.parametrize(("seconds", "epochs"), [(9.0, 1), (17.9, 1), (18.0, 2), (91.0, 10)])
def test_the_length_is_as_many_whole_epochs_as_the_time_allows(seconds: float, epochs: int) -> None:
    chosen = with_length(job(), PACE, seconds=seconds)
    assert chosen is not None
    assert (chosen.config.epochs, chosen.config.steps) == (epochs, 0)
    assert seconds_of(chosen, PACE) <= seconds


@pytest.mark.parametrize(("limit", "texts"), [(300.0, []), (29.0, ["the run took 30.0 s, its budget was 29.0 s"])])
def test_a_run_that_took_longer_than_its_budget_says_so_before_it_ends(
    monkeypatch: pytest.MonkeyPatch, limit: float, texts: list[str]
) -> None:
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: 37.0))
    end = Finished(run=Path("runs/a"), summary={})
    *before, last = watched(iter([Notice("first"), end]), limit, began=7.0)
    assert last is end
    assert [fact.text.partition(":")[0] for fact in before if isinstance(fact, Notice)] == ["first", *texts]


@pytest.mark.parametrize(("seconds", "steps"), [(9.0, 4), (12.9, 4), (15.0, 5), (17.0, 7), (18.0, 8)])
def test_a_config_that_counts_steps_gets_steps(seconds: float, steps: int) -> None:
    chosen = with_length(job("steps=64000", "epochs=0"), PACE, seconds=seconds)
    assert chosen is not None
    assert (chosen.config.epochs, chosen.config.steps) == (0, steps)
    assert seconds_of(chosen, PACE) <= seconds


def test_a_short_epoch_must_be_whole() -> None:
    long = job("batch_size=2", "val_fraction=0.02")  # 57 images: 28 steps an epoch
    assert with_length(long, PACE, seconds=20.0) is None
    assert with_length(long, PACE, seconds=32.9) is None  # 27 steps and the end of the epoch
    chosen = with_length(long, PACE, seconds=33.0)
    assert chosen is not None
    assert chosen.config.epochs == 1


def test_a_long_epoch_is_cut_when_there_is_time_for_the_fewest_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FEWEST_STEPS", 3)
    chosen = with_length(job(), PACE, seconds=8.5)
    assert chosen is not None
    assert (chosen.config.epochs, chosen.config.steps) == (0, 3)
    assert with_length(job(), PACE, seconds=7.5) is None


@pytest.mark.parametrize(("epochs", "kept"), [(3, 3), (9, 4)])
def test_a_budget_that_only_shortens_keeps_a_length_that_fits(at_this_pace: None, epochs: int, kept: int) -> None:
    chosen, texts = length_chosen(f"epochs={epochs}", budget=40.0, shortens=True)
    assert chosen.config.epochs == kept
    assert bool(texts) == (kept < epochs)


def test_the_origin_of_the_length_is_budget() -> None:
    chosen = with_length(job(), PACE, seconds=50.0)
    assert chosen is not None
    assert chosen.origins["epochs"] == chosen.origins["steps"] == "budget"
    assert chosen.origins["lr"] == job().origins["lr"]


def test_the_schedule_covers_the_chosen_length() -> None:
    settled = job("epochs=200", "warmup=25%", "schedule.name=linear")
    chosen = with_length(settled, PACE, seconds=20.0)
    assert chosen is not None
    rate = make_plan(chosen, Stop()).learning_rate
    assert chosen.steps == 8
    assert rate(1) == pytest.approx(chosen.config.lr)
    assert rate(chosen.steps) == pytest.approx(0.0)


def length_chosen(
    *sets: str, budget: float, began: float = 0.0, shortens: bool = False, data: str = "tiny"
) -> tuple[Job, str]:
    """Return the job that `choose_length` returns, and its notices as text."""
    asked = to_train(from_sets([f"data={data}", *sets]), budget=budget, shortens=shortens)
    settled = prepare(asked, open_store(settings.load().data_dir, data))
    work, texts = choose_length(settled, partial(fresh_model, settled), draft=asked, began=began), []
    while True:
        try:
            texts.append(next(work).text)
        except StopIteration as end:
            return end.value, "\n".join(texts)


def test_a_notice_gives_the_chosen_length_and_the_times_behind_it(at_this_pace: None) -> None:
    chosen, texts = length_chosen(budget=100.0)
    assert chosen.config.epochs == 10
    assert texts == (
        "10 epochs in about 1 min 30 s: a step takes 1000 ms (9 timed), an epoch 9.0 s, val 4 s; "
        "without a budget it would be 3 epochs"
    )


def test_the_timing_counts_as_part_of_the_budget(at_this_pace: None) -> None:
    chosen, _ = length_chosen(budget=100.0, began=-60.0)
    assert chosen.config.epochs == 4


def test_a_budget_that_is_too_short_is_a_usage_error_with_the_shortest_one(at_this_pace: None) -> None:
    with pytest.raises(UsageError) as caught:
        length_chosen(budget=5.0)
    assert (caught.value.exit_code, caught.value.where) == (2, Setting("budget"))
    assert "4 steps of 16 images take about 9.0 s here" in caught.value.message
    assert caught.value.hint[0].startswith("at least 9.5 s")


def test_a_warm_up_of_most_of_the_run_gets_a_notice(at_this_pace: None) -> None:
    _, texts = length_chosen("warmup=5", budget=60.0)
    assert "warm-up takes 20 of 24 steps" in texts
    _, texts = length_chosen("warmup=15%", budget=60.0)
    assert "warm-up" not in texts


def without_defaults(name: str, train: int = 60) -> None:
    """Write a dataset whose card has no values for the config."""
    tiny(settings.load().data_dir, name, train=train)
    file = settings.load().data_dir / name / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"defaults": {}}))


def test_the_epochs_of_the_budget_decide_the_rules_for_few_images(at_this_pace: None) -> None:
    """As `--epochs` does: 60 images are a short run at two epochs, and none at the 200 of the default."""
    without_defaults("few")
    chosen, texts = length_chosen(budget=20.0, data="few")
    asked = to_train(from_sets(["data=few", "epochs=2"]))
    same = prepare(asked, open_store(settings.load().data_dir, "few"))
    assert chosen.config == same.config
    rule = "rule: 60 images, 2 epochs"
    assert (chosen.config.optim.name, chosen.config.keep, chosen.config.batch_size) == ("adamw", "last", 16)
    assert {chosen.origins[key] for key in ("optim.name", "lr", "keep", "batch_size", "warmup")} == {rule}
    assert chosen.origins["epochs"] == "budget"
    assert texts.startswith("2 epochs")
    assert "without a budget it would be 200 epochs" in texts


def test_a_budget_of_less_than_an_epoch_warms_up_as_that_number_of_steps_does(at_this_pace: None) -> None:
    without_defaults("wide", train=800)
    chosen, texts = length_chosen("batch_size=4", budget=130.0, data="wide")
    assert texts.startswith(f"{chosen.config.steps} steps")
    asked = to_train(from_sets(["data=wide", "batch_size=4", f"steps={chosen.config.steps}"]))
    assert chosen.config == prepare(asked, open_store(settings.load().data_dir, "wide")).config
    assert chosen.config.warmup == "20%"


def test_values_of_the_user_are_stronger_than_the_rules_for_the_budget(at_this_pace: None) -> None:
    without_defaults("few")
    chosen, _ = length_chosen("lr=0.3", "threads=1", budget=20.0, data="few")
    assert (chosen.config.lr, chosen.config.optim.name, chosen.config.batch_size) == (0.3, "sgd", 128)
    assert chosen.config.threads == 1


@pytest.mark.parametrize(("smaller", "epochs"), [(1.0, 17), (2.0, 8)])
def test_another_batch_size_is_timed_again(monkeypatch: pytest.MonkeyPatch, smaller: float, epochs: int) -> None:
    """800 images: batches of 128 for 200 epochs, of 16 for a few; their epochs are `smaller` times as slow here."""
    without_defaults("many", train=800)
    timed: list[int] = []

    def pace(settled: Job, *_: object, **__: float) -> Pace:
        timed.append(settled.config.batch_size)
        epoch = 10.0 * (smaller if settled.config.batch_size < 128 else 1)
        return Pace(step=epoch / settled.steps_per_epoch, images=16, check=0.0, save=0.0, timed=9)

    monkeypatch.setattr(budget, "pace", pace)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: 0.0))
    chosen, texts = length_chosen(budget=180.0, data="many")
    assert timed[:2] == [128, 16]
    assert (chosen.config.epochs, chosen.config.batch_size) == (epochs, 16)
    assert texts.startswith(f"{epochs} epochs")


def test_lengths_that_change_the_step_each_time_are_timed_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 0.001, 1.0, 0.001])
    monkeypatch.setattr(budget, "pace", lambda *_, **__: dataclasses.replace(PACE, step=next(times), check=0, save=0))
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: 0.0))
    without_defaults("few")
    chosen, _ = length_chosen(budget=30.0, data="few")
    asked = to_train(from_sets(["data=few", f"epochs={chosen.config.epochs}"]))
    assert chosen.config == prepare(asked, open_store(settings.load().data_dir, "few")).config
    assert next(times) == 0.001  # three were used


def request(name: str, *sets: str, budget: float = 20.0, dry_run: bool = False) -> Draft[TrainConfig]:
    return to_train(from_sets(["data=tiny", *sets]), name=name, budget=budget, dry_run=dry_run)


def test_the_own_config_of_a_run_repeats_it(at_this_pace: None) -> None:
    list(train(request("a"), settings.load()))
    first = runs.find("a", Path("runs"))
    assert (first.read_config().epochs, first.sources()["epochs"]) == (2, "budget")
    again = to_train(from_file(first.config), name="b")
    list(train(again, settings.load()))
    second = runs.find("b", Path("runs"))
    assert first.weights.read_bytes() == second.weights.read_bytes()
    assert [line["lr"] for line in first.metrics()] == [line["lr"] for line in second.metrics()]


def test_a_resume_times_nothing_and_ends_with_the_same_bytes(
    at_this_pace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(train(request("whole"), settings.load()))
    facts = train(request("cut"), settings.load())
    list(itertools.islice(facts, 9))
    facts.close()  # type: ignore[attr-defined]
    for name in ("choose_length", "tune"):
        monkeypatch.setattr(launch, name, None)
    list(resume("cut", settings=settings.load()))
    whole, cut = (runs.find(name, Path("runs")) for name in ("whole", "cut"))
    assert cut.weights.read_bytes() == whole.weights.read_bytes()
    assert cut.config.read_bytes() == whole.config.read_bytes()


def test_a_dry_run_shows_the_chosen_length_and_writes_nothing(at_this_pace: None) -> None:
    facts = list(train(request("dry", dry_run=True), settings.load()))
    texts = [fact.text for fact in facts if isinstance(fact, Notice)]
    assert any(text.startswith("2 epochs in about 18.0 s") for text in texts)
    assert texts[-1] == "dry run: nothing was written"
    assert not Path("runs").exists()


def test_finetune_takes_a_budget_too(at_this_pace: None) -> None:
    list(train(request("base", "epochs=1", budget=0.0), settings.load()))
    draft = to_finetune(from_sets(["data=tiny", "batch_size=16"]), name="tuned", budget=20.0)
    facts = list(finetune(draft, settings.load()))
    finished = next(fact for fact in facts if isinstance(fact, Finished))
    assert finished.summary["epochs"] == 2
    assert runs.RunDir(finished.run).sources()["epochs"] == "budget"
