"""A student competes with the cut network: the same training, the same measures, and one of them is kept."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.compressed import DEEP
from support.trained import ARCH, CLASSES, IMAGE, card, network

import resnetctl as rc
from resnetctl import registry, runs
from resnetctl.data.store import open_store
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import InputError, ResnetctlError, UsageError, WeightsError
from resnetctl.models.resnet import build
from resnetctl.spec import NOTHING, HeadCard, Plugins
from resnetctl.system import settings
from resnetctl.tasks.compress import CompressReport, goals, student, variants
from resnetctl.tasks.compress.student import open_student, seen_notices, settled_name
from resnetctl.weights.file import load_model, read_card, read_header, to_bytes

FILE = Path("student.safetensors")
SHORT: dict[str, Any] = {"keep_blocks": [1, 1], "finetune": "1epoch", "set": {"batch_size": 32}, "progress": False}
GOAL = {**SHORT, "keep_blocks": None, "speedup": 2.4}


@pytest.fixture(autouse=True)
def archs(quick: None) -> Iterator[None]:
    """The arch `tiny` has two blocks."""
    with registry.overlay("arch", tiny=ARCH, deep=DEEP):
        yield


def write(**changes: Any) -> str:
    """Write weights of two blocks, with changes of their card."""
    described = card(**changes)
    net = build(described.arch, classes=len(described.classes), image=described.image)
    FILE.write_bytes(to_bytes(net.state_dict(), described))
    return str(FILE)


def test_the_more_accurate_of_two_networks_that_are_equally_fast_is_kept() -> None:
    report = rc.compress("first", student="tiny", name="small", **SHORT)
    choice, facts = report.choice, report.student
    assert choice is not None
    assert facts is not None
    assert (facts.source, facts.arch, facts.milliseconds, set(facts.forms)) == ("tiny", "tiny", (5.0, 2.0), {"float32"})
    cut, its = choice.candidates
    assert (cut.name, its.name, cut.trained is not None, its.trained is not None) == ("cut", "student", True, True)
    best = max(choice.candidates, key=lambda candidate: candidate.trained.top1)  # type: ignore[union-attr]
    assert best.is_kept
    assert choice.kept == best.name
    assert report.trained == best.trained
    assert [stage.name for stage in report.stages] == ["whole", "1-cut", "2-finetune", "student", "student-finetune"]
    run = runs.find("small", settings.load().runs_dir)
    train = "student-finetune" if choice.kept == "student" else "2-finetune"
    assert run.weights.read_bytes() == (run.path / "stages" / train / "model.safetensors").read_bytes()
    assert b"student-finetu" in (run.path / "pareto.svg").read_bytes()
    first, second = (read_card(run.path / "stages" / name / "model.safetensors") for name in ("2-finetune", train))
    assert first.split == second.split
    assert second.teacher["sha256"] == first.teacher["sha256"]


def test_a_student_that_is_no_arch_is_shown_the_closest_one(quick_goal: None) -> None:
    with pytest.raises(InputError) as caught:
        rc.compress("first", student="tinyy", name="small", **SHORT)
    assert caught.value.hint[0] == "did you mean 'tiny'?"


def test_a_student_is_kept_where_no_cut_reaches_the_goal(quick_goal: None) -> None:
    report = rc.compress("first", student=write(arch=ARCH), name="small", **GOAL, max_drop=100.0)
    assert report.choice is not None
    assert report.cut is None
    assert (report.choice.kept, report.to_json()["after"]) == ("student", None)
    assert "the cut network does not keep the limits" in report.choice.why
    assert read_card(report.path).arch.name == "tiny"
    assert report.file is not None
    assert report.file.is_file()
    assert report.test is not None


@pytest.fixture
def quick_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cut is faster than 2.3 times; the student is 2.5 times as fast."""

    spread = Spread(median=2.3, low=2.2, high=2.4, n=3)
    monkeypatch.setattr(variants, "speedups", lambda base, others, **_: {name: {1: spread} for name in others})
    assert goals.MAX_DROP == 1.0


def test_a_student_that_reaches_no_limit_loses_before_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Spread(median=1.2, low=1.1, high=1.3, n=3)
    monkeypatch.setattr(student, "speedups", lambda base, others, **_: {name: {1: slow} for name in others})
    report = rc.compress("first", student="tiny", name="small", **GOAL)
    assert report.choice is not None
    assert report.choice.why == (
        "the student does not keep the limits: it is 1.20 times as fast, and 2.40 times are needed"
    )
    assert (report.choice.kept, report.choice.candidates[1].trained) == ("cut", None)
    assert not (report.path.parent / "stages" / "student-finetune").exists()


def test_a_killed_run_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(arch=ARCH)
    whole = rc.compress("first", student=name, name="whole", **SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(goals, "choose", _stop)
        with pytest.raises(KeyboardInterrupt):
            rc.compress("first", student=name, name="small", **SHORT)
    FILE.unlink()  # the stage has a copy
    report: CompressReport = rc.compress(name="small", progress=False)
    assert report.path.read_bytes() == whole.path.read_bytes()
    assert report.choice is not None
    assert whole.choice is not None
    assert report.choice.kept == whole.choice.kept


def test_a_student_that_changes_before_it_is_copied_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(arch=ARCH)
    monkeypatch.setattr(student, "measure_student", _stop)
    real = student.open_student

    def changing(*arguments: Any, **more: Any) -> Any:
        opened = real(*arguments, **more)
        FILE.write_bytes(to_bytes(network(7).state_dict(), card(arch=ARCH, version="0.2.0")))
        return opened

    from resnetctl.tasks.compress import stages

    monkeypatch.setattr(stages, "open_student", changing)
    with pytest.raises(WeightsError, match="have changed since the run was begun"):
        rc.compress("first", student=name, name="small", **SHORT)
    assert not (settings.load().runs_dir / "small").exists()


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"classes": ("ape", "bee", "dog")}, 3, "the student has other classes"),
        ({"image": dataclasses.replace(IMAGE, channels=3, mean=(0.4,) * 3, std=(0.3,) * 3)}, 3, "images of 3 channels"),
        ({"arch": DEEP}, 2, "it must have fewer"),
        ({"head": HeadCard(name="ssd", task="detect")}, 3, "only a classifier will do"),
        ({"plugins": Plugins(required={"no-such-plugin": "1.0"})}, 4, "no-such-plugin==1.0"),
        ("nan", 3, "NaN or infinity"),
        ("net.onnx", 2, "an ONNX file cannot be a student"),
        ("resnet2O", 3, "there is no run 'resnet2O'"),
        ("slow", 5, "the student is slower"),
    ],
)
def test_a_student_that_cannot_compete_is_one_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, changes: Any, code: int, message: str
) -> None:
    name = changes if isinstance(changes, str) else write(**{"arch": ARCH, **changes})
    if name == "net.onnx":
        Path(name).write_bytes(b"\x08\x0a")
    if name == "nan":
        state = network().state_dict()
        state["fc.bias"][0] = float("nan")
        FILE.write_bytes(to_bytes(state, card(arch=ARCH)))
        name = str(FILE)
    if name == "slow":
        slow = Spread(median=0.9, low=0.8, high=0.95, n=3)
        monkeypatch.setattr(student, "speedups", lambda base, others, **_: {key: {1: slow} for key in others})
        name = "tiny"
    with pytest.raises(ResnetctlError, match=message) as caught:
        rc.compress("first", student=name, name="small", **SHORT)
    assert caught.value.exit_code == code
    assert not (settings.load().runs_dir / "small").exists()


def test_a_student_without_a_training_or_for_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="a student needs a training"):
        rc.compress("first", student="tiny", keep_blocks=[1, 1], progress=False)
    with pytest.raises(UsageError, match="student makes a run"):
        rc.compress("first", student="tiny", keep_blocks=[1, 1], out="m.safetensors")


def test_a_run_is_meant_before_an_arch_of_the_same_name(run: runs.RunDir) -> None:
    assert settled_name("tiny", settings.load()) == "tiny"
    run.path.rename(run.path.parent / "tiny")
    assert settled_name("tiny", settings.load()) == str((run.path.parent / "tiny" / "model.safetensors").resolve())


def test_a_student_may_read_other_sizes_and_have_its_classes_in_another_order(run: runs.RunDir) -> None:
    image = dataclasses.replace(IMAGE, size=6, resize=6, mean=(0.5,))
    name = write(arch=ARCH, image=image, classes=CLASSES[::-1])
    report = rc.compress("first", student=name, name="small", **SHORT)
    trained = read_card(report.path.parent / "stages" / "student-finetune" / "model.safetensors")
    assert (trained.classes, trained.image.size) == (CLASSES, 6)
    assert report.choice is not None
    measured = rc.evaluate(report.path.parent / "stages" / "student-finetune", split="val").report
    its = report.choice.candidates[1].trained
    assert its is not None
    assert its.top1 == measured.top1


def test_a_fresh_student_follows_from_the_seed(run: runs.RunDir) -> None:
    whole = read_header(run.weights)
    opened = [open_student("tiny", whole, settings=settings.load(), seed=seed) for seed in (0, 0, 1)]
    assert opened[0].data == opened[1].data != opened[2].data
    assert (opened[0].card.trained_on, opened[0].card.split, opened[0].sha256) == (NOTHING, None, "")


def test_a_fresh_student_has_not_seen_val_and_an_imported_one_may_have(run: runs.RunDir) -> None:
    for name, student_of, seen in (("fresh", "tiny", False), ("imported", write(arch=ARCH), True)):
        rc.compress("first", student=student_of, name=name, **SHORT)
        stage = settings.load().runs_dir / name / "stages" / "student-finetune"
        assert read_card(stage / "model.safetensors").val_seen == seen


def test_a_student_that_has_seen_val_is_remarked(run: runs.RunDir) -> None:
    store = open_store(settings.load().data_dir, "zoo")
    whole = load_model(run.weights)[1]
    assert seen_notices(card(store), whole, data="zoo") == ()
    assert "val may flatter it" in seen_notices(card(store, split=None), whole, data="zoo")[0]
    assert seen_notices(card(trained_on={"name": "other", "digest": ""}), whole, data="zoo") == ()


def _stop(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_the_generator_of_torch_is_left_alone(run: runs.RunDir) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    open_student("tiny", read_header(run.weights), settings=settings.load())
    assert torch.rand(1) == expected
