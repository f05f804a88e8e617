"""`train` and `finetune` with a teacher: header, card, resume, and bytes that depend on the teacher's content alone."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.datasets import tiny
from support.jobs import to_finetune
from support.tiny_runs import files, notice_texts, request, run
from support.trained import ARCH
from torch.nn import functional

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.layers import layer
from resnetctl.errors import InputError, ResnetctlError, WeightsError
from resnetctl.facts import Finished, Notice, Started
from resnetctl.models.resnet import build
from resnetctl.spec import Batch, ImageSpec, Policy, Transform, WeightsCard
from resnetctl.system import settings, storage
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.weights.file import read_card, to_bytes


def halves(image: ImageSpec, num_classes: int) -> Transform:
    """Mix each image with its neighbour, and the labels alike."""

    def mixed(batch: Batch) -> Batch:
        shares = functional.one_hot(batch.targets, num_classes).float()
        images = batch.images.float()
        return replace(
            batch, images=0.7 * images + 0.3 * images.roll(1, 0), targets=0.7 * shares + 0.3 * shares.roll(1, 0)
        )

    return mixed


HALVES = Policy(name="none", build=halves)
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


@pytest.mark.parametrize(
    ("method", "more"), [("kd", "augment=shift"), ("hint", "augment=shift"), ("kd", "augment=none")]
)
def test_a_taught_run_resumes_with_the_same_bytes(method: str, more: str) -> None:
    sets = (*TAUGHT, f"distill.method={method}", "ema_decay=0.9", more)
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


def test_a_weak_teacher_that_compress_chose_gets_no_remark() -> None:
    weak = run("steps=1", "lr=1e-6", "keep=last", name="weak")
    layers = [layer({"distill.teacher": str(weak.weights)}, "compress"), from_sets(["data=tiny", "weights=teacher"])]
    facts = finetune(to_finetune(*layers, from_sets(["epochs=1"]), name="tuned"), settings.load())
    assert "the teacher" not in notice_texts(facts)


def test_a_better_teacher_gets_no_remark() -> None:
    facts = train(request("distill.teacher=teacher", "steps=1", "lr=1e-6", name="taught"), settings.load())
    assert "the teacher" not in notice_texts(facts)


def test_a_missing_teacher_is_reported_before_the_run_folder_is_created() -> None:
    with pytest.raises(InputError, match="no run 'gone'"):
        list(train(request("distill.teacher=gone", name="taught"), settings.load()))
    assert not Path("runs/taught").exists()


@pytest.mark.parametrize("method", ["kd", "dkd", "dist", "hint"])
def test_every_method_trains_a_network_of_another_depth_and_is_in_its_card(method: str) -> None:
    deeper = ("model.arch=resnet32", "steps=2", f"distill.method={method}")
    taught = run("distill.teacher=teacher", *deeper, name="taught")
    assert read_card(taught.weights).teacher["method"] == method
    assert all(math.isfinite(row["train_loss"]) for row in rows(taught))
    assert files(taught) != files(run(*deeper[:2], name="alone"))


def rows(folder: runs.RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]


def test_the_weight_and_the_temperature_change_what_is_learned() -> None:
    plain = ("distill.teacher=teacher", "steps=2")
    sets = {
        "half": (*plain, "distill.weight=0.5"),
        "warm": (*plain, "distill.temperature=1"),
        "default": plain,
    }
    assert len({files(run(*changes, name=name))[0] for name, changes in sets.items()}) == 3


@pytest.mark.parametrize(
    "sets",
    [
        ("label_smoothing=0.1", "ema_decay=0.9"),
        ("class_weights=balanced",),
        ("accumulate=2",),
    ],
    ids=lambda sets: sets[0],
)
@pytest.mark.parametrize("method", ["dkd", "hint"])
def test_distillation_goes_with_the_other_parts_of_the_recipe(method: str, sets: tuple[str, ...]) -> None:
    taught = run("distill.teacher=teacher", "epochs=1", f"distill.method={method}", *sets, name="taught")
    (row,) = rows(taught)
    assert math.isfinite(row["train_loss"])
    assert read_card(taught.weights).teacher["method"] == method


@pytest.mark.parametrize("method", ["kd", "dkd", "dist"])
def test_targets_that_are_shares_are_taught_to_the_end_and_resume(method: str) -> None:
    """A policy that mixes images gives shares of classes in place of labels."""
    with registry.overlay("policy", none=HALVES):
        sets = (*TAUGHT, f"distill.method={method}", "augment=none")
        whole = run(*sets, name="whole")
        stopped_after_a_step(train(request(*sets, name="cut"), settings.load()))
        list(resume("cut", settings=settings.load()))
    assert files(runs.find("cut", Path("runs"))) == files(whole)
    assert files(whole)[0] != files(run(*sets, name="plain"))[0]


def test_a_teacher_of_larger_images_teaches_with_its_own_size() -> None:
    tiny(settings.load().data_dir, "large", size=16)
    large = run("data=large", "epochs=1", name="large")
    taught = run(f"distill.teacher={large.weights}", "epochs=1", name="taught")
    assert read_card(large.weights).image.size == 16
    assert read_card(taught.weights).image.size == 8
    assert read_card(taught.weights).teacher["sha256"] == storage.sha256(large.weights)


def test_a_teacher_of_other_classes_or_colours_is_refused_before_the_run_folder_is_created() -> None:
    tiny(settings.load().data_dir, "other", classes=("dark", "striped", "dotted"))
    run("data=other", "steps=1", name="other")
    with pytest.raises(WeightsError, match="does not know every class of the data") as caught:
        list(train(request("distill.teacher=other", name="taught"), settings.load()))
    assert caught.value.problems == ("unknown to the teacher: middle, bright",)
    assert caught.value.exit_code == 3
    assert not Path("runs/taught").exists()


@pytest.mark.parametrize(
    ("value", "seen"),
    [("distill.weight=0", "weight"), ("distill.weight=1.5", "weight"), ("distill.temperature=0", "temperature"),
     ("distill.method=magic", "method"), ("distill.teacher_sha256=00", "other weights")],
)  # fmt: skip
def test_a_wrong_value_is_refused(value: str, seen: str) -> None:
    with pytest.raises(ResnetctlError, match=seen) as caught:
        list(train(request("distill.teacher=teacher", value, name="taught"), settings.load()))
    assert caught.value.exit_code in (2, 3)
    assert not Path("runs/taught").exists()


def test_a_teacher_of_colour_images_is_refused_with_both_numbers() -> None:
    colour = ImageSpec(size=8, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    net = build(ARCH, classes=3, image=colour)
    Path("colour.safetensors").write_bytes(
        to_bytes(net.state_dict(), WeightsCard(arch=ARCH, classes=("dark", "middle", "bright"), image=colour))
    )
    with pytest.raises(WeightsError, match="reads images of 3 channels, and the data has 1") as caught:
        list(train(request("distill.teacher=colour.safetensors", name="taught"), settings.load()))
    assert "colour.safetensors" in str(caught.value.where)
    assert not Path("runs/taught").exists()


def test_a_file_that_holds_no_weights_cannot_teach() -> None:
    Path("net.onnx").write_bytes(b"\x08\x0a\x12\x02ab")
    Path("notes.txt").write_text("none")
    for name in ("net.onnx", "notes.txt"):
        with pytest.raises(ResnetctlError) as caught:
            list(train(request(f"distill.teacher={name}", name="taught"), settings.load()))
        assert caught.value.exit_code in (2, 3)
        assert name in str(caught.value)
    assert not Path("runs/taught").exists()


def test_a_dry_run_with_a_teacher_writes_nothing_and_names_it() -> None:
    before = sorted(Path().rglob("*"))
    facts = list(train(request(*TAUGHT, name="taught", dry_run=True), settings.load()))
    assert "resnet20" in {getattr(fact, "teacher", "") for fact in facts}
    assert sorted(Path().rglob("*")) == before
