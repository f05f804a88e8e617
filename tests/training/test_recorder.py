import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.datasets import tiny
from support.jobs import job, to_train
from support.teams import together

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.data.splits import eval_batches, open_eval_set
from resnetctl.data.store import open_store
from resnetctl.engine import checkpoint
from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import StepResult
from resnetctl.engine.predictors import feature_predictor
from resnetctl.errors import NonFinite, PeerFailed, Stopped, WorkFailed
from resnetctl.facts import Finished, Notice
from resnetctl.runs.checkpoints import Checkpoints
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.training import notices, recorder
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.recorder import Clock, checkpoint_bytes, consume, shared
from resnetctl.training.session import Session
from resnetctl.trust.fitting import fit_card
from resnetctl.weights.file import load_model, read_card


def facts(*sets: str) -> list[object]:
    if not (settings.load().data_dir / "tiny").exists():
        tiny(settings.load().data_dir)
    return list(train(to_train(from_sets(["data=tiny", *sets]), name="one"), settings.load()))


def test_a_checkpoint_is_written_when_the_last_one_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    original = Checkpoints.save
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(
        Checkpoints, "save", lambda files, step, data: (saved.append(step), original(files, step, data))[1]
    )
    facts("epochs=1")
    assert saved == [1, 2, 3, 4, 4]


def take_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = recorder.Recorder.__init__

    def on_an_accelerator(self: recorder.Recorder, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self._each_epoch = False

    monkeypatch.setattr(recorder.Recorder, "__init__", on_an_accelerator)


def test_on_an_accelerator_an_epoch_writes_a_checkpoint_only_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = recorder.Recorder.save
    take_for_an_accelerator(monkeypatch)
    monkeypatch.setattr(recorder.Recorder, "save", lambda self, state: (saved.append(state.step), save(self, state))[1])
    facts("epochs=3")
    assert saved == [12], "of the last step"
    assert len(runs.find("one", Path("runs")).metrics()) == 3
    list(resume("one", settings=settings.load(), epochs=4))
    assert saved == [12, 16]


@pytest.mark.parametrize(
    ("accelerated", "seconds", "wanted"),
    [(False, 60.0, [1, 2, 3, 3]), (True, 60.0, [1, 3]), (True, -1.0, [1, 2, 3, 3])],
)
def test_on_an_accelerator_last_weights_are_written_with_checkpoints(
    monkeypatch: pytest.MonkeyPatch, accelerated: bool, seconds: float, wanted: list[int]
) -> None:
    written: list[int] = []
    shipped = recorder.shipped
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", seconds)
    monkeypatch.setattr(
        recorder, "shipped", lambda job, state, **named: (written.append(state.epochs), shipped(job, state, **named))[1]
    )
    if accelerated:
        take_for_an_accelerator(monkeypatch)
    facts("epochs=3", "keep=last")
    assert written == wanted
    assert read_card(runs.find("one", Path("runs")).weights).metrics["epoch"] == 3


def test_after_some_steps_a_long_run_gets_an_estimate_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ESTIMATE_AFTER", 2)
    texts = [fact.text for fact in facts("epochs=400000", "early_stop=1") if isinstance(fact, Notice)]
    assert any(text.startswith("about ") and "images/s" in text for text in texts)
    assert any("a GPU makes it shorter" in text for text in texts)


def test_the_time_of_steps_counts_until_the_device_has_done_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator a step is queued, so the clock waits where the loop waits anyway, and for an estimate."""
    waited: list[int] = []
    fit = recorder.fit

    def queued(*args: object) -> Iterator[object]:
        for fact in fit(*args):  # type: ignore[arg-type]
            if isinstance(fact, StepResult):
                wait = SimpleNamespace(cpu=lambda fact=fact: waited.append(fact.step))
                yield replace(fact, loss=wait)  # type: ignore[arg-type]
            else:
                yield fact

    monkeypatch.setattr(recorder, "fit", queued)
    monkeypatch.setattr(recorder, "ESTIMATE_AFTER", 2)
    facts("steps=10", "epochs=0")
    assert waited == [2, 4, 8, 10]


def test_a_note_of_a_step_becomes_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = recorder.fit

    def noted(state: Any, plan: Any) -> Iterator[object]:
        for fact in fit(state, plan):
            is_second = isinstance(fact, StepResult) and fact.step == 2
            yield replace(fact, note="the step cannot be captured") if is_second else fact

    monkeypatch.setattr(recorder, "fit", noted)
    assert [fact.text for fact in facts("epochs=1") if isinstance(fact, Notice)] == ["the step cannot be captured"]


def test_a_short_run_gets_no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ESTIMATE_AFTER", 2)
    assert not [fact for fact in facts("epochs=1") if isinstance(fact, Notice)]


def test_the_estimate_counts_the_steps_of_this_epoch_only() -> None:
    settled = job("epochs=300", "val_fraction=0")  # 4 steps an epoch
    assert settled.steps_per_epoch == 4
    clock = Clock()
    clock.training, clock.images = 3.0, 48  # three steps of this epoch, a second each
    (notice, *_) = recorder._first_estimate(settled, clock, start=0, step=19)
    assert notice.text.startswith("about 20 min")


def test_the_clock_counts_training_apart_from_the_rest() -> None:
    clock = Clock()
    clock.training, clock.images = 2.0, 100
    seconds, rate = clock.next_epoch()
    assert rate == 50
    assert seconds < 2
    assert (clock.training, clock.images) == (0.0, 0)


def test_the_summary_reports_best_and_last() -> None:
    summary = next(fact for fact in facts("epochs=5") if isinstance(fact, Finished)).summary
    metrics = runs.find("one", Path("runs")).metrics()
    assert summary["last"] == metrics[-1]
    assert summary["best"]["val_top1"] == max(line["val_top1"] for line in metrics)
    assert summary["kept"] == "best"
    assert summary["stopped_early"] is False


def test_the_summary_says_that_a_run_stopped_early() -> None:
    summary = next(
        fact for fact in facts("epochs=50", "early_stop=2", "lr=0.001") if isinstance(fact, Finished)
    ).summary
    assert summary["stopped_early"] is True
    assert summary["epochs"] < 50


def test_a_process_that_does_not_write_yields_the_same_facts(tmp_path: Path) -> None:
    folder = runs.create(tmp_path, "writer", config="", sources={}, env={})
    kinds, weights = [], []
    for run in (folder, None):
        settled = job("epochs=2")
        state = fresh_state(settled, fresh_model(settled))
        before = set(Path().rglob("*"))
        with Stop() as stop:
            session = Session.of(settled, state, stop=stop, run=run)
            kinds.append([type(fact) for fact in consume(session)])
        weights.append(state.weights())
        if run is None:
            assert set(Path().rglob("*")) == before, "it wrote something"
    assert kinds[0] == [*kinds[1], Finished]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert len(folder.metrics()) == 2


def test_a_process_that_does_not_write_stops_and_fails_like_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = job("epochs=2")
    stop = Stop()
    session = Session.of(settled, fresh_state(settled, fresh_model(settled)), stop=stop, run=None)
    facts = consume(session)
    next(facts)
    stop.signum = 15
    with pytest.raises(Stopped) as caught:
        list(facts)
    assert (caught.value.exit_code, caught.value.hint) == (143, ())
    spoilt = job("lr=1e30", "epochs=20")
    with pytest.raises(NonFinite):
        list(consume(Session.of(spoilt, fresh_state(spoilt, fresh_model(spoilt)), stop=Stop(), run=None)))
    assert not Path("runs").exists()


@pytest.mark.parametrize(("train_images", "keep"), [(510, "best"), (510, "last"), (60, "best")])
def test_the_card_gets_a_calibration_when_val_has_100_images(train_images: int, keep: str) -> None:
    tiny(settings.load().data_dir, train=train_images)
    facts("epochs=2", "val_fraction=0.2", f"keep={keep}")
    model, card = load_model(runs.find("one", Path("runs")).weights)
    if train_images == 60:
        assert card.calibration is None
        return
    val = open_eval_set(open_store(settings.load().data_dir, "tiny"), "val", val_split=card.split)
    predict = feature_predictor(model, card.image, device=torch.device("cpu"))
    passes = [(*predict(images), labels) for images, labels in eval_batches(val, card.image)]
    logits, features, labels = (np.concatenate(parts) for parts in zip(*passes, strict=True))
    assert card.calibration is not None
    assert card.calibration == fit_card(logits, labels, features=features)
    assert card.calibration.familiar is not None
    assert card.calibration.images == 102


def test_a_resumed_run_has_the_same_calibration() -> None:
    tiny(settings.load().data_dir, train=510)
    facts("epochs=2", "val_fraction=0.2")
    whole = runs.find("one", Path("runs"))
    request = to_train(from_sets(["data=tiny", "epochs=2", "val_fraction=0.2"]), name="cut")
    cut = train(request, settings.load())
    list(itertools.islice(cut, 4))
    cut.close()  # type: ignore[attr-defined]
    list(resume("cut", settings=settings.load()))
    assert read_card(whole.weights).calibration is not None
    assert runs.find("cut", Path("runs")).weights.read_bytes() == whole.weights.read_bytes()


def test_a_write_that_fails_tells_the_other_processes_with_the_next_message() -> None:
    """Both end: process 0 with its error, process 1 because it was told."""

    def work(team: Team) -> None:
        def facts() -> Iterator[int]:
            while True:
                team.add_up_integers(np.zeros(1, np.int64))
                yield 1

        steps = facts()
        next(steps)
        with shared(steps, team):
            if team.rank == 0:
                raise WorkFailed("the disk is full")
        next(steps)

    first, second = together(2, work)
    assert str(first) == "the disk is full"
    assert isinstance(second, PeerFailed)


def test_one_process_alone_just_raises() -> None:
    with pytest.raises(WorkFailed, match="full"), shared(iter(()), Team()):
        raise WorkFailed("full")


def test_checkpoints_record_the_processes_only_if_the_result_depends_on_them() -> None:
    settled = job()
    state = fresh_state(settled, fresh_model(settled))
    for world_size in (1, 4):
        data = checkpoint_bytes(settled, state, world_size=world_size)
        assert checkpoint.from_bytes(data).machine["world_size"] == world_size


def test_a_loss_that_explodes_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "EXPLODED", 0)
    told = [
        fact for fact in facts("epochs=3", "threads=1") if isinstance(fact, Notice) and "may be too high" in fact.text
    ]
    assert len(told) == 1
    assert "of epoch 1 is" in told[0].text
