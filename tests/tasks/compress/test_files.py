"""`compress --out` writes ordinary weights of a smaller network, which every other verb takes."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.compressed import DEEP, OUT
from support.trained import CLASSES, card

from resnetctl import runs
from resnetctl.data.store import build as build_store
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.models.resnet import build
from resnetctl.spec import DatasetCard
from resnetctl.system import settings
from resnetctl.tasks.compress import CompressReport, Cut, compress, variants
from resnetctl.tasks.evaluate import evaluate
from resnetctl.weights.file import load_model, read_card, to_bytes

OTHERS = (Call("runs list", note="has other networks: is this one a smaller one already?"),)


def go(target: str | Path | None = None, **cut: object) -> CompressReport:
    return compress(target, settings=settings.load(), out=OUT, cut=Cut(**cut))  # type: ignore[arg-type]


def test_the_written_weights_are_a_shallower_network(run: runs.RunDir) -> None:
    report = go(keep_blocks=(2, 1))
    net, described = load_model(OUT)
    assert (net.arch.depths, described.arch.name) == ((2, 1), "tiny-blocks-2-1")
    assert (described.metrics, described.trained_on, described.split) == (
        {}, read_card(run.weights).trained_on, read_card(run.weights).split,
    )  # fmt: skip
    assert (report.cut.before, report.cut.after, len(report.cut.removed)) == ((3, 2), (2, 1), 2)
    assert report.seconds > 0
    assert "layer2.1" in report.cut.removed
    assert report.cut.params[1] == sum(parameter.numel() for parameter in net.parameters()) < report.cut.params[0]
    measured = evaluate(OUT, settings=settings.load(), split="val").report
    assert measured.top1 == report.cut.accuracy[1].top1


def test_the_same_command_gives_the_same_bytes() -> None:
    go(keep_blocks=(2, 1))
    first = OUT.read_bytes()
    OUT.unlink()
    go(keep_blocks=(2, 1))
    assert OUT.read_bytes() == first


def test_a_compressed_network_can_be_compressed_again() -> None:
    go(keep_blocks=(2, 2))
    again = compress(OUT, settings=settings.load(), out="less.safetensors", cut=Cut(keep_blocks=(1, 1)))
    assert (again.cut.before, again.cut.after) == ((2, 2), (1, 1))
    assert read_card(Path("less.safetensors")).arch.name == "tiny-blocks-1-1"


def test_a_speed_up_keeps_the_most_blocks_that_reach_it() -> None:
    report = go(speedup=1.6)
    assert sum(report.cut.after) == 3
    assert report.cut.speedup["1"].median >= 1.6
    assert report.cut.table is not None


def test_a_speed_up_that_nothing_reaches_fails_the_check_with_the_best_one() -> None:
    with pytest.raises(CheckFailed, match="no number of blocks makes the network 9 times as fast") as caught:
        go(speedup=9.0)
    assert caught.value.problems == ("1,1 blocks: 2.50 times as fast",)
    assert caught.value.where == "runs/first/model.safetensors"
    assert not OUT.exists()


@pytest.mark.parametrize(("median", "hint"), [(0.93, OTHERS), (1.04, OTHERS), (1.37, (Setting("speedup", 1.3),))])
def test_the_hint_names_a_speed_up_only_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, median: float, hint: tuple[Setting, ...]
) -> None:
    spread = Spread(median=median, low=median, high=median, n=3)
    monkeypatch.setattr(variants, "speedups", lambda *_, **__: {"smaller": {1: spread}})
    with pytest.raises(CheckFailed) as caught:
        go(speedup=9.0)
    assert caught.value.hint == hint


def test_the_folder_of_the_output_is_created_when_the_weights_are_ready() -> None:
    place = Path("new/deeper")
    with pytest.raises(CheckFailed):
        compress(None, settings=settings.load(), out=place / OUT, cut=Cut(speedup=9.0))
    assert not Path("new").exists()
    compress(None, settings=settings.load(), out=place / OUT, cut=Cut(keep_blocks=(1, 1)))
    assert [path.name for path in place.iterdir()] == [OUT.name]


def test_the_json_document_has_numbers_of_both_networks() -> None:
    document = json.loads(json.dumps(go(keep_blocks=(1, 1)).to_json()))
    assert document["schema"] == "resnetctl.compress/1"
    assert [set(item) for item in document["accuracy"]] == [{"top1", "interval", "count"}] * 2
    assert document["speedup"]["1"]["n"] == 3


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({}, "give one of these"),
        ({"keep_blocks": (1, 1), "speedup": 2.0}, "give one of these"),
        ({"keep_blocks": (0, 1)}, "cannot be kept"),
        ({"speedup": 1.0}, "the speed-up must be above 1"),
    ],
)
def test_a_wrong_cut_is_refused_before_any_work(cut: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go(**cut)
    assert not OUT.exists()


def test_outputs_and_targets_that_cannot_be_used_are_refused() -> None:
    OUT.write_bytes(b"")
    with pytest.raises(UsageError, match="the output exists"):
        go(keep_blocks=(1, 1))
    OUT.unlink()
    Path("net.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(UsageError, match="an ONNX file cannot be made smaller"):
        go("net.onnx", keep_blocks=(1, 1))
    with pytest.raises(UsageError, match="the output is a weights file"):
        compress(None, settings=settings.load(), out="small.onnx", cut=Cut(speedup=2.0))
    Path("free.safetensors").write_bytes(
        to_bytes(build(DEEP, classes=3, image=card().image).state_dict(), card(arch=DEEP))
    )
    with pytest.raises(InputError, match="name no dataset to measure on"):
        go("free.safetensors", keep_blocks=(1, 1))


@pytest.mark.parametrize(("classes", "message"), [(("ape",), "of one class, 'ape'"), (CLASSES, "of one colour")])
def test_images_that_tell_nothing_are_refused_without_a_word_of_int8(
    monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...], message: str
) -> None:
    """A dataset in which val has one class, or all images one colour, cannot say which block matters."""
    draft = DatasetCard(name="flat", classes=CLASSES, image=card().image, splits={})
    with build_store(settings.load().data_dir, "flat", draft=draft) as builder:
        for number in range(60):
            grey = np.full((8, 8, 1), 90 + (number if len(classes) == 1 else 0), np.uint8)
            for split, labels in (("train", CLASSES), ("val", classes)):
                builder.add(split, grey, label=labels[number % len(labels)], name=f"{number}", sha256="")
    with pytest.raises(DataError, match=message) as caught:
        compress(None, settings=settings.load(), out=OUT, cut=Cut(keep_blocks=(1, 1)), data="flat")
    hints = str((caught.value.hint, caught.value.where, str(caught.value)))
    assert "calibrate" not in hints
    assert "int8" not in hints
    assert not OUT.exists()
