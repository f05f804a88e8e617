"""Launching a run chooses the folder, the name, the threads and the length, and writes a config that repeats it."""

import tomllib
from functools import partial
from pathlib import Path

import pytest
from support.jobs import job, to_train

from resnetctl import runs
from resnetctl.config.draft import RunRequest
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.distributed import Team
from resnetctl.errors import UsageError
from resnetctl.facts import Doing, EpochTimed, Finished, Notice, Started
from resnetctl.hints import Setting
from resnetctl.system import settings
from resnetctl.training import launch as launching
from resnetctl.training.job import Job, fresh_model
from resnetctl.training.launch import config_text, launch, require_place


def test_the_request_or_else_the_settings_choose_the_folder_of_runs() -> None:
    assert require_place(RunRequest(out=Path("elsewhere")), settings.load()) == Path("elsewhere")
    assert require_place(RunRequest(), settings.load()) == settings.load().runs_dir
    assert not Path("elsewhere").exists()


def test_the_error_for_a_folder_that_cannot_be_written_names_the_setting() -> None:
    Path("file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write") as caught:
        require_place(RunRequest(out=Path("file")), settings.load())
    assert caught.value.hint[0] == Setting("out", "FOLDER")


def test_a_name_that_is_taken_is_refused_first() -> None:
    runs.create(Path("runs"), "one", config="", sources={}, env={})
    with pytest.raises(UsageError, match="the run 'one' exists"):
        require_place(RunRequest(name="one"), settings.load())


def test_a_run_without_a_name_gets_an_automatic_one() -> None:
    settled = job("epochs=1")
    facts = launch(settled, partial(fresh_model, settled), draft=to_train(), folder=Path("runs"))
    (finished,) = (fact for fact in facts if isinstance(fact, Finished))
    assert finished.run.name.endswith("-resnet20-tiny")


@pytest.mark.parametrize("save_first", [False, True])
def test_save_first_writes_a_checkpoint_before_the_first_step(save_first: bool) -> None:
    settled = job("epochs=1")
    facts = launch(
        settled,
        partial(fresh_model, settled),
        draft=to_train(name="one"),
        folder=Path("runs"),
        save_first=save_first,
    )
    next(facts)
    assert len(runs.find("one", Path("runs")).checkpoints.paths()) == save_first


def test_threads_are_chosen_before_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def choice(name: str) -> object:
        def choose(settled: Job, state: object, **_: float) -> object:
            calls.append(name)
            yield Notice(name)
            return settled

        return choose

    monkeypatch.setattr(launching, "tune", choice("threads"))
    monkeypatch.setattr(launching, "choose_length", choice("length"))
    settled = job("epochs=1")
    draft = to_train(dry_run=True, budget=60.0, tune=True)
    facts = list(launch(settled, partial(fresh_model, settled), draft=draft, folder=Path("runs")))
    assert calls == ["threads", "length"]
    assert facts[0] == Doing("timing a few steps first; the run does not keep them")
    assert not Path("runs").exists()


def test_the_text_of_a_config_parses_to_the_config() -> None:
    settled = job("lr=0.3", "schedule.name=linear")
    assert TrainConfig.model_validate(tomllib.loads(config_text(settled.config))) == settled.config


def test_a_process_that_is_not_the_writer_trains_and_writes_nothing() -> None:
    settled = job()
    team = Team()
    team.is_writer = False
    draft = to_train(name="one")
    facts = list(launch(settled, partial(fresh_model, settled), draft=draft, folder=Path("runs"), team=team))
    assert any(isinstance(fact, EpochTimed) for fact in facts)
    assert not any(isinstance(fact, Finished) for fact in facts)
    assert next(fact for fact in facts if isinstance(fact, Started)).run is None
    assert not Path("runs").exists()


def test_the_writer_and_the_others_yield_equal_epochs() -> None:
    def epochs(is_writer: bool) -> list[object]:
        settled = job()
        team = Team()
        team.is_writer = is_writer
        draft = to_train(name="one")
        facts = launch(settled, partial(fresh_model, settled), draft=draft, folder=Path("runs"), team=team)
        results = [fact.result for fact in facts if isinstance(fact, EpochTimed)]
        return [(result.step, result.train_loss, result.val.loss if result.val else None) for result in results]

    assert epochs(True) == epochs(False)
