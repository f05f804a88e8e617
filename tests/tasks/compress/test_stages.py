"""`compress --name` makes a run in stages, and goes on where it stopped."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.compressed import DEEP
from support.tiny_runs import files, notice_texts
from support.trained import card as make_card
from support.trained import make_store

from resnetctl import runs
from resnetctl.config.draft import RunRequest
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import (
    CheckFailed,
    DataError,
    InputError,
    ResnetctlError,
    Stopped,
    UsageError,
    WeightsError,
    WorkFailed,
)
from resnetctl.facts import Finished
from resnetctl.hints import Call, Setting
from resnetctl.models.resnet import build
from resnetctl.runs.staged import StagedRun, begin
from resnetctl.spec import HeadCard, Plugins
from resnetctl.system import settings
from resnetctl.tasks.compress import CompressReport, Order, goals, into_run, steps
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.runs.verify import verify
from resnetctl.training.launch import Trainer
from resnetctl.weights.file import load_model, read_card, to_bytes

TRAINER = Trainer(start=finetune, resume=resume)
SHORT = {"keep_blocks": (2, 1), "finetune": "2epochs", "set": {"batch_size": 16}}


def work(order: Order, name: str | None = "small", *, trainer: Trainer = TRAINER) -> tuple[list[Any], CompressReport]:
    """Run the stages to the end; return the facts and the report."""
    facts: list[Any] = []
    generator = into_run(order, settings.load(), name=name, trainer=trainer)
    while True:
        try:
            facts.append(next(generator))
        except StopIteration as end:
            return facts, end.value


def test_the_result_is_a_run_that_was_cut_and_trained() -> None:
    facts, report = work(Order.of("first", **SHORT))
    assert report.run is not None
    small = runs.find("small", settings.load().runs_dir)
    assert small.path == report.run
    card = read_card(small.weights)
    assert (card.arch.name, card.teacher["arch"]) == ("tiny-blocks-2-1", "tiny")
    config = small.read_config()
    assert isinstance(config, FinetuneConfig)
    assert (config.epochs, config.batch_size, config.distill.teacher) == (2, 16, str(report.target))
    assert all(check.passed in (True, None) for check in verify(small, settings.load()).checks)
    assert report.trained is not None
    assert evaluate("small", settings=settings.load(), split="val").report.top1 == report.trained.top1
    assert any(isinstance(fact, Finished) for fact in facts)
    assert (small.path.parent / "last").resolve() == small.path.resolve()
    assert json.loads((small.path / "compressed.json").read_text()) == report.to_json()


def test_val_stays_that_of_the_whole_network(run: runs.RunDir) -> None:
    _, report = work(Order.of("first", **SHORT))
    assert read_card(report.path).split == read_card(run.weights).split


def test_classes_in_another_order_than_those_of_the_data_are_matched_by_name(run: runs.RunDir) -> None:
    net, card = load_model(run.weights)
    run.save_weights(to_bytes(net.state_dict(), dataclasses.replace(card, classes=card.classes[::-1])))
    _, report = work(Order.of("first", **SHORT))
    assert report.trained is not None
    assert evaluate("small", settings=settings.load(), split="val").report.top1 == report.trained.top1


def test_a_run_without_training_can_be_measured_trained_and_compressed_again() -> None:
    _, report = work(Order.of("first", keep_blocks=(2, 2)), "cut")
    assert report.trained is None
    cut = runs.find("cut", settings.load().runs_dir)
    assert all(check.passed in (True, None) for check in verify(cut, settings.load()).checks)
    assert evaluate("cut", settings=settings.load(), split="val").report.count == 18
    assert "finetune --config config.toml" in cut.config.read_text()
    _, again = work(Order.of("cut", **SHORT), "again")
    assert again.cut.before == (2, 2)
    assert read_card(again.path).arch.name == "tiny-blocks-2-1"


def test_a_run_has_a_name_of_its_own_without_one() -> None:
    _, report = work(Order.of(None, keep_blocks=(2, 2)), None)
    assert report.run is not None
    assert report.run.name.endswith("-tiny-smaller-zoo")


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes() -> None:
    work(Order.of("first", **SHORT), "whole")

    def stopping(*arguments: Any, **more: Any) -> Iterator[Any]:
        for number, fact in enumerate(finetune(*arguments, **more)):
            yield fact
            if number == 9:
                raise Stopped("after step 5", signum=15)

    with pytest.raises(Stopped) as caught:
        work(Order.of("first", **SHORT), trainer=Trainer(start=stopping, resume=resume))
    assert caught.value.exit_code == 143
    assert caught.value.hint == (Call("compress", settings={"name": "small"}),)
    with pytest.raises(InputError, match="the run 'small' is not finished"):
        runs.find("small", settings.load().runs_dir)
    facts, _ = work(Order())
    folder = settings.load().runs_dir
    assert files(runs.RunDir(folder / "small")) == files(runs.RunDir(folder / "whole"))
    assert "2-finetune goes on" in notice_texts(facts) or "choosing" not in notice_texts(facts)


def test_a_cut_that_was_not_finished_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(StagedRun, "save_facts", _fail)
        with pytest.raises(KeyboardInterrupt):
            work(Order.of("first", **SHORT))
    assert (settings.load().runs_dir / "small" / "stages" / "1-cut" / "config.toml").is_file()
    _, report = work(Order.of("first", **SHORT))
    assert report.trained is not None


def test_a_run_that_trained_but_was_not_published_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(StagedRun, "publish", _fail)
        with pytest.raises(KeyboardInterrupt):
            work(Order.of("first", **SHORT))
    never = Trainer(start=_fail, resume=_fail)
    facts, report = work(Order(), trainer=never)
    assert (facts, report.path.is_file()) == ([], True)


def test_a_finished_run_and_another_order_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "Planner", _fail)
        with pytest.raises(KeyboardInterrupt):
            work(Order.of("first", **SHORT))
    with pytest.raises(UsageError, match="begun with another value of keep_blocks"):
        work(Order.of("first", keep_blocks=(1, 1)))
    work(Order())
    with pytest.raises(UsageError, match="the run 'small' exists"):
        work(Order.of("first", **SHORT))


def test_weights_that_changed_in_between_are_refused(run: runs.RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "Planner", _fail)
        with pytest.raises(KeyboardInterrupt):
            work(Order.of("first", **SHORT))
    run.save_weights(run.weights.read_bytes() + b" ")
    with pytest.raises(WeightsError):
        work(Order())


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"keep_blocks": (1, 1), "finetune": "ages"}, "should be epochs"),
        ({"keep_blocks": (1, 1), "set": {"lr": 0.1}}, "none is asked for"),
        ({"keep_blocks": (1, 1), "finetune": "1epoch", "set": {"no.such": 1}}, "no.such"),
        ({}, "give one of these"),
    ],
)
def test_a_wrong_order_writes_nothing(order: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        work(Order.of("first", **order))
    assert not Path(settings.load().runs_dir / "small").exists()


def broken(run: runs.RunDir, kind: str) -> str:
    """Spoil the weights of the run, or name another target; return the target."""
    net, card = load_model(run.weights)
    state = net.state_dict()
    if kind == "nan":
        state["fc.bias"][0] = float("nan")
    plugins = Plugins(required={"no-such-plugin": "1.0"}) if kind == "plugin" else card.plugins
    head = HeadCard(name="ssd", task="detect") if kind == "head" else None
    if kind == "onnx":
        Path("net.onnx").write_bytes(b"\x08\x0a")
        return "net.onnx"
    run.save_weights(to_bytes(state, dataclasses.replace(card, plugins=plugins, head=head)))
    return "first"


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("nan", 3, "NaN or infinity"),
        ("plugin", 4, "no-such-plugin==1.0"),
        ("head", 3, "only a classifier will do"),
        ("onnx", 2, "an ONNX file cannot be made smaller"),
    ],
)
@pytest.mark.parametrize("goal", [{}, {"int8": True}])
def test_weights_that_cannot_be_cut_are_one_error_and_leave_nothing(
    run: runs.RunDir, kind: str, code: int, message: str, goal: dict[str, Any]
) -> None:
    with pytest.raises(ResnetctlError, match=message) as caught:
        work(Order.of(broken(run, kind), keep_blocks=[1, 1], **goal))
    assert caught.value.exit_code == code
    assert not Path(settings.load().runs_dir / "small").exists()


@pytest.mark.parametrize("goal", [{}, {"int8": True}])
def test_a_network_of_one_class_is_one_error_and_leaves_nothing(run: runs.RunDir, goal: dict[str, Any]) -> None:
    store = make_store(name="ones", classes=("ape",))
    net = build(DEEP, classes=1, image=store.card.image)
    run.save_weights(to_bytes(net.state_dict(), make_card(store, arch=DEEP)))
    with pytest.raises(DataError, match="the network has one class"):
        work(Order.of("first", keep_blocks=[1, 1], **goal))
    assert not Path(settings.load().runs_dir / "small").exists()


def test_a_full_disk_leaves_a_run_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runs.RunDir, "save_weights", _full)
        with pytest.raises(WorkFailed, match="No space left"):
            work(Order.of("first", **SHORT))
    _, report = work(Order())
    assert report.trained is not None


def test_a_second_process_does_not_remove_what_the_first_one_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "Planner", _fail)
        with pytest.raises(KeyboardInterrupt):
            work(Order.of("first", **SHORT))
    staged = StagedRun(settings.load().runs_dir / "small")
    with staged.locked(), pytest.raises(UsageError, match="in use by this process"):
        work(Order())
    assert staged.plan()["keep_blocks"] == [2, 1]


@pytest.mark.parametrize("text", ['{"aim": 3}', '{"speedup": "much"}', "no json"])
def test_a_damaged_plan_is_one_error(text: str) -> None:
    staged = begin(settings.load().runs_dir, "small", plan={})
    (staged.path / "compress.json").write_text(text)
    with pytest.raises(InputError, match=r"aim|speedup|JSON"):
        work(Order())
    assert staged.path.is_dir()


def test_a_name_that_no_run_has_is_not_an_order_without_a_cut() -> None:
    with pytest.raises(UsageError, match="there is no run 'absent' to go on with"):
        work(Order(), "absent")


def one_epoch(draft: Any, settings: Any) -> Iterator[Any]:
    """Train for an epoch, whatever time there is."""
    config = draft.config.model_copy(update={"epochs": 1})
    return finetune(
        dataclasses.replace(draft, config=config, request=RunRequest(name=draft.request.name, out=draft.request.out)),
        settings,
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("length", "seconds", "shortens"),
    [("5epochs", 540, True), ("30min", 540, False), ("2min", 120, False), (None, 540, False)],
)
def test_a_budget_bounds_the_training_however_its_length_is_given(
    monkeypatch: pytest.MonkeyPatch, length: str | None, seconds: int, shortens: bool
) -> None:
    asked: list[RunRequest] = []

    def record(draft: Any, _: Any) -> Iterator[Any]:
        asked.append(draft.request)
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(goals, "after_training", lambda *_, **__: 60.0)
    with pytest.raises(KeyboardInterrupt):
        work(
            Order.of("first", keep_blocks=(2, 1), budget="10min", finetune=length),
            trainer=Trainer(start=record, resume=resume),
        )
    assert seconds - 30 < asked[0].budget <= seconds
    assert asked[0].shortens == shortens


@pytest.mark.usefixtures("quick")
def test_a_time_that_is_too_short_to_train_is_about_the_option_that_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def short(*_: Any) -> Iterator[Any]:
        yield from ()
        raise UsageError("1.0 s is too short: 100 steps take 2 s here", where=Setting("budget"), hint="at least 3 s")

    monkeypatch.setattr(goals, "after_training", lambda *_, **__: 9.0)
    trainer = Trainer(start=short, resume=resume)
    with pytest.raises(CheckFailed, match="no network keeps all limits"):
        work(Order.of("first", keep_blocks=(2, 1), budget="9s"), "none", trainer=trainer)
    with pytest.raises(CheckFailed, match="no network keeps all limits") as caught:
        work(Order.of("first", keep_blocks=(2, 1), budget="50s"), trainer=trainer)
    used = (
        "float32: the budget of 50s is too short: .* are used, and 9.0 s are needed for the checks; for the training "
    )
    assert re.match(f"{used}1.0 s is too short", caught.value.problems[0])
    assert caught.value.hint[0] == Call(
        "compress", settings={"name": "small", "budget": "TIME"}, note="goes on with more time"
    )
    cut = (settings.load().runs_dir / "small/stages/1-cut/model.safetensors").stat().st_mtime_ns
    work(Order.of(None, budget="9min"), trainer=Trainer(start=one_epoch, resume=resume))
    assert (settings.load().runs_dir / "small/stages/1-cut/model.safetensors").stat().st_mtime_ns == cut
    with pytest.raises(UsageError, match="is too short") as refused:
        work(Order.of("first", keep_blocks=(2, 1), finetune="1s"), "other", trainer=trainer)
    assert (refused.value.where, refused.value.hint) == (Setting("finetune"), ("at least 3 s",))


def _full(*_: Any) -> None:
    raise WorkFailed("writing failed: No space left on device")


def _fail(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt
