"""Runs with a head: they learn, keep the best epoch by the number of the task, and resume bit for bit."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import distributions, heads
from support.jobs import to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import open_store
from resnetctl.errors import ConfigError, PluginError
from resnetctl.facts import Finished, Notice
from resnetctl.spec import ImageSpec, Policy
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.training.dense import validate_net
from resnetctl.weights.file import load_net, read_header


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_a_run_writes_weights_that_name_their_head_and_a_metric_of_the_task(kind: str, tmp_path: Path) -> None:
    heads.stored(kind, tmp_path)
    run = heads.run(kind)
    card, lines = read_header(run.weights).card, run.metrics()
    primary = {"boxes": "map50", "masks": "miou"}[kind]
    assert card.head is not None
    assert (card.head.name, card.task) == (heads.KINDS[kind][0], {"boxes": "detect", "masks": "segment"}[kind])
    assert card.metrics[f"val_{primary}"] == max(line[f"val_{primary}"] for line in lines)
    assert "train_top1" not in lines[0]
    assert lines[1]["train_loss"] < lines[0]["train_loss"]
    net = load_net(read_header(run.weights))
    assert isinstance(net, heads.DetNet | heads.SegNet)


def test_masks_are_learned(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=25", "lr=0.003")
    assert max(line["val_miou"] for line in run.metrics()) > 0.55


def test_anchors_are_fitted_to_train_and_written_into_the_card(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    fitted = read_header(heads.run("boxes", "epochs=1").weights).card.head
    assert fitted is not None
    assert fitted.args["base"] == pytest.approx(10, abs=1)
    half = read_header(heads.run("boxes", "epochs=1", "size=20", name="half").weights).card.head
    assert half is not None
    assert half.args["base"] == pytest.approx(fitted.args["base"] / 2, abs=0.01)
    given = read_header(heads.run("boxes", "epochs=1", "model.head_args.base=3.5", name="given").weights).card.head
    assert given is not None
    assert given.args["base"] == 3.5


@pytest.mark.parametrize("kind", ["boxes", "masks", "numbers"])
def test_two_runs_and_a_resumed_one_have_the_same_bytes(kind: str, tmp_path: Path) -> None:
    heads.stored(kind, tmp_path)
    changes = ("epochs=3", "ema_decay=0.9")
    whole, again = heads.run(kind, *changes), heads.run(kind, *changes, name="two")
    assert whole.weights.read_bytes() == again.weights.read_bytes()
    newest = sorted((again.path / "checkpoints").iterdir())[-1]
    newest.unlink()  # as if the process had died in the last epoch
    for file in ("summary.json", "model.safetensors"):
        (again.path / file).unlink()
    list(resume(again.path, settings=settings.load()))
    assert runs.RunDir(again.path).weights.read_bytes() == whole.weights.read_bytes()
    assert (again.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_a_run_that_is_broken_off_anywhere_is_resumed_to_the_same_bytes(kind: str, tmp_path: Path) -> None:
    heads.stored(kind, tmp_path, count=16)
    changes = ("epochs=3", "batch_size=4", "ema_decay=0.9", "augment=standard")
    whole = heads.run(kind, *changes)
    base = ["data=scenes", "model.arch=resnet20", f"model.head={heads.KINDS[kind][0]}", *changes]
    epochs = len(whole.metrics())
    for number in range(1, epochs + 1):
        draft = to_train(from_sets(base), name=f"part{number}")
        with contextlib.closing(train(draft, settings.load())) as facts:
            for _ in facts:
                folder = settings.load().runs_dir / f"part{number}"
                if (folder / "metrics.jsonl").is_file() and len(runs.RunDir(folder).metrics()) == number:
                    break
        assert not (folder / "summary.json").exists()
        list(resume(folder, settings=settings.load()))
        assert runs.RunDir(folder).weights.read_bytes() == whole.weights.read_bytes(), f"after epoch {number}"
        assert (folder / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()


def test_accumulated_parts_and_growing_images_train(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    run = heads.run("boxes", "accumulate=2", "progressive.initial_scale=0.5", "epochs=4")
    assert json.loads((run.path / "summary.json").read_text())["head"] == "tiny_det"


def refused(*sets: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        list(train(to_train(from_sets(["data=scenes", "model.arch=resnet20", "epochs=1", *sets])), settings.load()))
    assert caught.value.exit_code == 2
    return caught.value


def test_data_and_head_must_suit_each_other(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    missing = refused()
    assert missing.message == "'scenes' has boxes: a head learns from them"
    assert any("tiny_det" in str(hint) for hint in missing.hint)
    assert refused("model.head=tiny_seg").message == "head 'tiny_seg' learns from masks, and 'scenes' has boxes"
    labels = refused("data=digits", "model.head=tiny_seg")
    assert labels.message == "head 'tiny_seg' learns from masks, and 'digits' has labels"


def test_a_head_that_reads_numbers_needs_them_and_a_policy_that_keeps_them(tmp_path: Path) -> None:
    heads.stored("numbers", tmp_path)
    error = refused("data=digits", "model.head=tiny_fuse")
    assert error.message == "head 'tiny_fuse' reads numbers that come with each image, and 'digits' has none"
    with registry.overlay("policy", shift=Policy(name="careless", build=lambda *_: lambda batch: batch)):
        for asked in (["augment=shift"], ["augment_until=1", "augment_after=shift"]):
            error = refused("model.head=tiny_fuse", *asked)
            assert error.message == "policy 'careless' cannot keep the numbers of the images right"


def test_a_classifier_that_leaves_numbers_unread_says_so(tmp_path: Path) -> None:
    heads.stored("numbers", tmp_path)
    draft = to_train(from_sets(["data=scenes", "model.arch=resnet20", "steps=1"]))
    texts = [fact.text for fact in train(draft, settings.load()) if isinstance(fact, Notice)]
    assert any("3 numbers with each image, which this network does not read" in text for text in texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("augment=standard+cutout", "policy 'standard+cutout' cannot move boxes with the image"),
        ("label_smoothing=0.1", "head 'tiny_det' brings its own loss"),
        ("class_weights=balanced", "head 'tiny_det' brings its own loss"),
        ("model.head_args.levels=3", "head 'tiny_det' cannot use model.head_args.levels"),
    ],
)
def test_what_a_head_cannot_use_is_refused_before_the_run(tmp_path: Path, change: str, message: str) -> None:
    heads.stored("boxes", tmp_path)
    assert refused("model.head=tiny_det", change).message == message
    assert not [*settings.load().runs_dir.glob("*")]


def test_a_head_that_refuses_its_arguments_is_an_error_of_the_config(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    error = refused("model.head=tiny_seg", "model.head_args.width=0")
    assert error.message == "head 'tiny_seg' cannot be built on 'resnet20' at 40 px: width must be positive"


def test_a_frozen_backbone_keeps_its_bits(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    first = heads.run("masks", "epochs=1")
    net = load_net(read_header(first.weights))
    before = {name: value.clone() for name, value in net.state_dict().items() if name.startswith("backbone.")}
    assert len(before) > 50
    shutil.copy(first.weights, tmp_path / "start.safetensors")
    again = load_net(read_header(tmp_path / "start.safetensors")).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("class_weights=balanced", "class_weights"),
        ("label_smoothing=0.1", "label_smoothing"),
    ],
)
def test_the_setting_that_a_head_cannot_use_is_named(tmp_path: Path, change: str, where: str) -> None:
    heads.stored("masks", tmp_path)
    error = refused("model.head=tiny_seg", change)
    assert error.message == "head 'tiny_seg' brings its own loss"
    assert where in str(error.where)


def test_without_a_head_for_the_data_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads.stored("boxes", tmp_path)
    names = registry.names
    monkeypatch.setattr(registry, "names", lambda kind: [] if kind == "head" else names(kind))
    error = refused()
    assert error.message == "'scenes' has boxes: a head learns from them"
    assert [*error.hint] == ["install a plugin that brings a head for them"]


def test_the_anchors_of_a_plugin_that_fails_are_not_silent(tmp_path: Path) -> None:
    class Head(heads.TinyDet):
        def fit_anchors(self, boxes: torch.Tensor, labels: torch.Tensor, image: ImageSpec) -> dict[str, object]:
            assert boxes.dtype == torch.float32
            assert boxes.shape == (len(labels), 4)
            assert float(boxes.max()) <= image.size
            return {"size": 3}

    heads.stored("boxes", tmp_path)
    config = from_sets(["data=scenes", "model.arch=resnet20", "model.head=tiny_det", "epochs=1"])
    with registry.overlay("head", tiny_det=Head()), pytest.raises(ConfigError, match="size"):
        list(train(to_train(config), settings.load()))


def test_val_is_measured_without_images_moved_and_the_same_every_time(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1", "augment=standard")
    card = read_header(run.weights).card
    net, store = load_net(read_header(run.weights)), open_store(settings.load().data_dir, "scenes")
    images = open_eval_set(store, "val", val_split=card.split)
    assert card.head is not None
    one, two = (
        validate_net(net, images, image=card.image, head=card.head, device=torch.device("cpu"), precision="fp32")
        for _ in range(2)
    )
    assert one == two
    assert one.primary.value == pytest.approx(card.metrics["val_miou"], abs=1e-6)
    assert one.count == 2


@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("asked", [{"dry_run": True}, {"budget": 4.0}, {"tune": True}])
def test_steps_and_evaluations_of_heads_are_timed(kind: str, asked: dict[str, object], tmp_path: Path) -> None:
    heads.stored(kind, tmp_path)
    sets = ["data=scenes", "model.arch=resnet20", f"model.head={heads.KINDS[kind][0]}", "batch_size=8", "epochs=1"]
    facts = list(
        train(to_train(from_sets(sets[: 4 if "budget" in asked else 5]), name="timed", **asked), settings.load())
    )
    said = [fact.text for fact in facts if isinstance(fact, Notice)]
    assert "dry run: nothing was written" in said if "dry_run" in asked else isinstance(facts[-1], Finished)


HEAD = """
import torch
from support.heads import TinyDet


class Head(TinyDet):
    def fit_anchors(self, boxes, labels, image):
        return {"base": BASE}


mine = Head()
"""


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        ("boxes.mean()", "TypeError: Object of type Tensor is not JSON serializable"),
        ("float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_anchors_that_no_card_can_hold_are_the_mistake_of_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, problem: str
) -> None:
    heads.stored("boxes", tmp_path)
    code = HEAD.replace("BASE", base)
    distributions.install(tmp_path / "site", "my-anchors", {"head": {"mine": "my_anchors:mine"}}, code=code)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    config = from_sets(["data=scenes", "model.arch=resnet20", "model.head=mine", "epochs=1"])
    try:
        with pytest.raises(PluginError) as caught:
            list(train(to_train(config), settings.load()))
    finally:
        monkeypatch.undo()
        sys.modules.pop("my_anchors", None)
        registry.refresh()
    assert caught.value.exit_code == 4
    assert caught.value.message.startswith(f"head 'mine' of my-anchors 1.2: {problem}")
