"""A sound run passes; a change to any of its files fails the check of that file."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.datasets import tiny
from support.jobs import to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.engine import checkpoint
from resnetctl.errors import CheckFailed, InputError
from resnetctl.spec import Arch, Plugins
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.runs import verify as verify_module
from resnetctl.tasks.runs.verify import VerifyReport, verify
from resnetctl.tasks.train import train
from resnetctl.training import newest_checkpoint

NANO = Arch(name="nano", block="basic", depths=(1, 1), widths=(4, 8), stem="cifar")


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    tiny(settings.load().data_dir)
    with registry.overlay("arch", nano=NANO):
        yield


def trained(*sets: str) -> runs.RunDir:
    list(train(to_train(from_sets(["model.arch=nano", "data=tiny", *sets]), name="one"), settings.load()))
    return runs.find("one", Path("runs"))


def failed_checks(run: runs.RunDir) -> dict[str, str]:
    return {check.name: check.detail for check in verified(run).checks if check.passed is False}


def verified(run: runs.RunDir) -> VerifyReport:
    return verify(run, settings.load())


SOUND = [
    (),
    ("schedule.name=multistep", "schedule.gamma=0.5"),
    ("optim.name=adam", "lr=0.01"),
    ("ema_decay=0.9", "keep=last"),
    ("val_fraction=0",),
    ("epochs=0", "steps=6"),
    ("early_stop=1", "warmup=1"),
]


@pytest.mark.parametrize("sets", SOUND)
def test_a_sound_run_passes(sets: tuple[str, ...]) -> None:
    report = verified(trained(*sets))
    assert [check for check in report.checks if check.passed is False] == []
    assert report.passed
    assert report.differences == ()
    report.require()


def test_an_extended_run_passes() -> None:
    trained("epochs=1")
    list(resume("one", settings=settings.load(), epochs=2))
    assert verified(runs.find("one", Path("runs"))).passed


def test_an_unfinished_run_passes_the_checks_of_the_files_that_it_has() -> None:
    run = trained("epochs=2")
    (run.path / "summary.json").unlink()
    report = verified(run)
    assert report.passed
    assert {check.name for check in report.checks if check.passed is None} == {"summary", "onnx"}
    assert "nothing is exported into the run" in {check.detail for check in report.checks}


def edit(name: str, change: Callable[[str], str]) -> Callable[[runs.RunDir], None]:
    def work(run: runs.RunDir) -> None:
        path = run.path / name
        path.write_text(change(path.read_text()))

    return work


def flip_last(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def with_nan(text: str) -> str:
    return text.replace('"train_loss": ', '"train_loss": NaN, "x": ')


def without_first_line(text: str) -> str:
    return text.partition("\n")[2]


CHANGES: dict[str, tuple[str, Callable[[runs.RunDir], None]]] = {
    "config": ("config", edit("config.toml", lambda text: text + "\nbroken = \n")),
    "another seed": ("weights", edit("config.toml", lambda text: text.replace("seed = 0", "seed = 1", 1))),
    "more epochs": ("summary", edit("config.toml", lambda text: text.replace("epochs = 3", "epochs = 9"))),
    "a lost epoch": ("metrics", edit("metrics.jsonl", without_first_line)),
    "another accuracy": ("summary", edit("summary.json", lambda text: text.replace('"epochs": 3', '"epochs": 4'))),
    "a NaN": ("metrics", edit("metrics.jsonl", with_nan)),
    "weights": ("weights", lambda run: flip_last(run.weights)),
    "checkpoint": ("checkpoints", lambda run: flip_last(run.checkpoints.paths()[0])),
    "an older checkpoint": ("checkpoints", lambda run: flip_last(run.checkpoints.paths()[1])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_fails_its_check(name: str) -> None:
    check, change = CHANGES[name]
    run = trained()
    change(run)
    failures = failed_checks(run)
    assert check in failures, failures
    with pytest.raises(CheckFailed, match="contradict each other") as caught:
        verified(run).require()
    assert caught.value.exit_code == 5
    assert any(problem.startswith(check) for problem in caught.value.problems)


def test_data_that_changed_since_training_fail_the_check() -> None:
    run = trained("epochs=1")
    data_dir = settings.load().data_dir
    (data_dir / "tiny").rename(data_dir / "old")
    assert not failed_checks(run)
    tiny(data_dir, train=90)
    assert "has changed since the run was trained on it" in failed_checks(run)["data"]


def test_data_that_was_replaced_since_training_fail_no_check() -> None:
    run = trained("epochs=1")
    data_dir = settings.load().data_dir
    before = json.loads((data_dir / "tiny" / "card.json").read_text())
    (data_dir / "tiny").rename(data_dir / "old")
    tiny(data_dir, train=90)
    file = data_dir / "tiny" / "card.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "replaced": {before["digests"]["train"]: False}}))
    assert not failed_checks(run)


def test_a_changed_machine_is_named_but_fails_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("epochs=1", "precision=fp32")
    facts = checkpoint.machine_facts() | {"cpu": "ABACUS", "threads": 77}
    monkeypatch.setattr(checkpoint, "machine_facts", lambda *_, **__: facts)
    report = verified(run)
    assert report.passed
    assert [line.split(" -> ")[1] for line in report.differences] == ["ABACUS"]


@pytest.mark.parametrize("required", [True, False])
def test_a_missing_plugin_is_named_and_is_no_failed_check(required: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("epochs=1")
    gated = {"resnetctl-gated": "0.1.0"}
    plugins = Plugins(used=gated, required=gated if required else {})
    whole = newest_checkpoint.card_of
    for module in (newest_checkpoint, verify_module):
        monkeypatch.setattr(module, "card_of", lambda one: dataclasses.replace(whole(one), plugins=plugins))
    report = verified(run)
    assert (report.passed, report.missing, report.usable) == (True, gated, not required)
    assert report.differences == (), "it is no mere difference in bits"
    assert report.to_json()["missing"] == gated


def test_the_json_document_lists_every_check() -> None:
    document = verified(trained("epochs=1")).to_json()
    assert json.loads(json.dumps(document))["passed"] is True
    assert [check["name"] for check in document["checks"]] == [
        "config", "checkpoints", "metrics", "summary", "weights", "onnx", "data",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [{}, {"raw": True}, {"int8": True}])
def test_every_exported_onnx_file_is_checked(kind: dict[str, bool]) -> None:
    run = trained("epochs=1")
    path = run.write_onnx(b"not a model", **kind)
    assert "onnx" in failed_checks(run)
    path.unlink()
    assert failed_checks(run) == {}


def test_a_summary_without_a_value_is_one_clear_sentence() -> None:
    run = trained()
    edit("summary.json", lambda text: text.replace('"steps": ', '"stairs": '))(run)
    details = {check.name: check.detail for check in verified(run).checks if check.passed is False}
    assert details == {"summary": "the summary of the run is damaged: it has no 'steps'"}
    with pytest.raises(InputError, match="it has no 'steps'") as caught:
        list(resume("one", settings=settings.load(), epochs=5))
    assert caught.value.where == str(run.path / "summary.json")


def test_an_edit_of_a_plugins_code_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("epochs=1")
    monkeypatch.setattr(verify_module, "edited", lambda recorded: ["own-block"])
    report = verified(run)
    assert (report.passed, report.differences) == (True, ("the code of own-block was changed",))
