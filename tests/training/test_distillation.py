"""`train` and `finetune` with a teacher: header, card, resume, and bytes that depend on the teacher's content alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.datasets import tiny
from support.jobs import to_finetune
from support.tiny_runs import files, notice_texts, request, run

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import InputError, WeightsError
from resnetctl.facts import Finished, Notice, Started
from resnetctl.system import settings, storage
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.weights.file import read_card

TAUGHT = ("distill.teacher=teacher", "epochs=2")


@pytest.fixture(autouse=True)
def teacher() -> runs.RunDir:
    tiny(settings.load().data_dir)
    return run("epochs=2", name="teacher")


def stopped_after_a_step(facts: Iterator[Any]) -> None:
    for fact in facts:
        if type(fact).__name__ == "StepResult":
            break
    facts.close()  # type: ignore[attr-defined]


def test_a_taught_run_says_who_taught_it(teacher: runs.RunDir) -> None:
    facts = list(train(request(*TAUGHT, name="taught"), settings.load()))
    started = next(fact for fact in facts if isinstance(fact, Started))
    taught = runs.find("taught", Path("runs"))
    assert started.teacher == "resnet20"
    sha256 = storage.sha256(teacher.weights)
    assert read_card(taught.weights).teacher == {"arch": "resnet20", "sha256": sha256, "method": "kd"}
    config = taught.read_config()
    assert (config.distill.teacher, config.distill.teacher_sha256) == (str(teacher.weights.resolve()), sha256)
    assert files(taught) != files(teacher)


@pytest.mark.parametrize("method", ["kd", "hint"])
def test_a_taught_run_resumes_with_the_same_bytes(method: str) -> None:
    sets = (*TAUGHT, f"distill.method={method}", "ema_decay=0.9")
    whole = run(*sets, name="whole")
    stopped_after_a_step(train(request(*sets, name="cut"), settings.load()))
    list(resume("cut", settings=settings.load()))
    assert files(runs.find("cut", Path("runs"))) == files(whole)


def test_the_path_of_the_teacher_does_not_change_the_bytes(teacher: runs.RunDir) -> None:
    Path("copy.safetensors").write_bytes(teacher.weights.read_bytes())
    assert files(run(*TAUGHT, name="a")) == files(run("distill.teacher=copy.safetensors", "epochs=2", name="b"))


def test_a_resume_needs_the_same_teacher(teacher: runs.RunDir) -> None:
    stopped_after_a_step(train(request(*TAUGHT, name="cut"), settings.load()))
    other = run("epochs=1", "seed=1", name="other")
    teacher.weights.write_bytes(other.weights.read_bytes())
    with pytest.raises(WeightsError, match="other weights than the config asks for"):
        list(resume("cut", settings=settings.load()))
    teacher.weights.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        list(resume("cut", settings=settings.load()))


def test_finetune_learns_from_a_teacher_and_remarks_that_it_is_worse() -> None:
    weak = run("steps=1", "lr=1e-6", "keep=last", name="weak")
    sets = ["data=tiny", "weights=teacher", f"distill.teacher={weak.weights}", "epochs=2"]
    facts = list(finetune(to_finetune(from_sets(sets), name="tuned"), settings.load()))
    tuned = next(fact for fact in facts if isinstance(fact, Finished))
    assert read_card(runs.RunDir(tuned.run).weights).teacher["sha256"] == storage.sha256(weak.weights)
    weaker = [fact.text for fact in facts if isinstance(fact, Notice) and "the teacher resnet20 has" in fact.text]
    assert len(weaker) == 2  # before the first step, and at the end


def test_a_better_teacher_gets_no_remark() -> None:
    facts = train(request("distill.teacher=teacher", "steps=1", "lr=1e-6", name="taught"), settings.load())
    assert "the teacher" not in notice_texts(facts)


def test_a_missing_teacher_is_reported_before_the_run_folder_is_created() -> None:
    with pytest.raises(InputError, match="no run 'gone'"):
        list(train(request("distill.teacher=gone", name="taught"), settings.load()))
    assert not Path("runs/taught").exists()
