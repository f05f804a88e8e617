"""Workers train every run of a group once, resume what was stopped, and stop the worse runs at each rung."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.datasets import tiny
from support.groups import TRAINER, grouped, worked
from support.tiny_runs import ARCH, files, notice_texts
from support.tiny_runs import run as whole_run

from resnetctl.errors import ConfigError, NonFinite, Stopped
from resnetctl.facts import EpochTimed, Finished, Notice
from resnetctl.hints import Call, Setting
from resnetctl.runs import RunDir
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.sweep.file import SweepFile
from resnetctl.tasks.sweep.halving import is_done
from resnetctl.tasks.sweep.points import plan_sweep
from resnetctl.tasks.sweep.states import progress
from resnetctl.tasks.sweep.work import work
from resnetctl.tasks.train import train
from resnetctl.training.launch import Trainer


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)


def test_every_run_of_a_group_has_the_bytes_of_its_own_run() -> None:
    group = grouped(seeds=2)
    facts = worked(group)
    assert [fact.run.name for fact in facts if isinstance(fact, Finished)] == group.names() == ["0-seed0", "1-seed1"]
    for seed, name in enumerate(group.names()):
        assert files(group.run(name)) == files(whole_run("epochs=2", f"seed={seed}", name=f"alone{seed}"))
    assert progress(group) == {"finished": 2, "failed": 0, "begun": 0, "waiting": 0}
    assert worked(group) == []


def test_a_worker_resumes_the_run_that_another_left() -> None:
    group = grouped(seeds=2)
    facts = work(group, settings.load(), trainer=TRAINER)
    for fact in facts:
        if isinstance(fact, EpochTimed):
            facts.close()  # as if the worker were killed
            break
    assert progress(group) == {"finished": 0, "failed": 0, "begun": 1, "waiting": 1}
    assert "0-seed0 goes on" in notice_texts(worked(group))
    assert files(group.run("0-seed0")) == files(whole_run("epochs=2", "seed=0", name="alone"))


def test_a_run_that_another_worker_trains_is_left_alone() -> None:
    group = grouped(seeds=2)
    with group.taken("0-seed0"):
        assert "other workers train 1 run" in notice_texts(worked(group))
    assert progress(group)["finished"] == 1


def test_two_workers_train_no_run_twice() -> None:
    group = grouped(seeds=6)
    began: list[str] = []
    lock = threading.Lock()

    def start(asked: Any, settings: Any) -> Iterator[Any]:
        with lock:
            began.append(asked.request.name)
        folder = group.path / asked.request.name
        folder.mkdir()
        (folder / "config.toml").write_text("")
        yield None
        RunDir(folder).save_summary({"epochs": 2})

    workers = [threading.Thread(target=worked, args=(group, Trainer(start=start, resume=resume))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(began) == group.names()


def test_a_run_with_broken_numbers_does_not_stop_the_others() -> None:
    group = grouped(seeds=2)

    def start(asked: Any, settings: Any) -> Iterator[Any]:
        if asked.request.name == "0-seed0":
            folder = group.path / "0-seed0"
            folder.mkdir()
            RunDir(folder).save_failure("the loss is not finite")
            raise NonFinite("the loss is not finite")
        yield from train(asked, settings)

    assert "0-seed0 is left out" in notice_texts(worked(group, Trainer(start=start, resume=resume)))
    assert is_done(group, "0-seed0", rung=0)
    assert progress(group)["finished"] == 1


def test_a_stop_names_the_command_that_goes_on_with_the_group() -> None:
    group = grouped(seeds=2)

    def stopping(*_: Any) -> Iterator[Any]:
        yield Notice("begun")
        raise Stopped("after step 1 of 9", signum=2, hint="resnetctl train --resume runs/g/0-seed0")

    with pytest.raises(Stopped, match="after step 1") as caught:
        list(work(group, settings.load(), trainer=Trainer(start=stopping, resume=resume)))
    assert (caught.value.exit_code, caught.value.hint) == (130, (Call("sweep work", (group.path,)),))


def test_a_notice_of_every_run_is_said_once_for_a_setting() -> None:
    group = grouped(seeds=3)

    def start(asked: Any, settings: Any) -> Iterator[Any]:
        seed = asked.config.seed
        yield Notice(f"the loss is {seed + 50}.1", hint=(Setting("lr", 0.025), Setting("find_lr")))
        yield from train(asked, settings)

    facts = worked(group, Trainer(start=start, resume=resume))
    (notice,) = [fact for fact in facts if isinstance(fact, Notice) and "the loss is" in fact.text]
    assert notice.hint == (Setting("lr", 0.025),)  # a flag, as flags gave the config of this group
    assert sum(isinstance(fact, Finished) for fact in facts) == 3


def searched(name: str, **more: Any) -> Group:
    values = {"method": "optuna", "runs": 3, "vary": {"lr": {"low": 0.01, "high": 0.2}}}
    shared = dict(item.split("=", 1) for item in (*ARCH, "data=tiny"))
    config = {"data": shared["data"], "epochs": 1, "model": {"arch": shared["model.arch"]}, **more}
    sweep = SweepFile.model_validate(values | {"config": config})
    return plan_sweep(sweep, settings.load(), name=name, out=Path("runs"))


def test_a_search_trains_all_its_runs_and_a_stop_changes_nothing() -> None:
    pytest.importorskip("optuna")
    whole, stopped = searched("whole"), searched("stopped")
    worked(whole)
    facts = work(stopped, settings.load(), trainer=TRAINER)
    next(fact for fact in facts if isinstance(fact, Finished))
    facts.close()  # as if the worker were killed after its first run
    assert "run 2 of 3" in notice_texts(worked(stopped))
    assert progress(whole) == {"finished": 3, "failed": 0, "begun": 0, "waiting": 0} == progress(stopped)
    assert whole.plan()["points"] == stopped.plan()["points"]
    for name in whole.names():
        assert files(whole.run(name)) == files(stopped.run(name))


def test_two_workers_share_a_search() -> None:
    pytest.importorskip("optuna")
    group = searched("two")
    with group.taken(group.names()[0]):
        assert "other workers train 1 run" in notice_texts(worked(group))
    assert progress(group) == {"finished": 2, "failed": 0, "begun": 0, "waiting": 1}


def test_a_search_without_a_val_split_stops_after_its_first_run() -> None:
    pytest.importorskip("optuna")
    group = searched("blind", val_fraction=0.0)
    with pytest.raises(ConfigError, match="have no val split"):
        worked(group)
    assert progress(group)["finished"] == 1
