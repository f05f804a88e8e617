"""The commands on boxes and masks, from the folder of annotations to the checked file."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import dense, heads

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


def trained(cli: Cli, kind: str, *more: str) -> Any:
    head, write = heads.KINDS[kind]
    write(Path("source"), 24)
    assert cli("data", "add", "source", "--name", "scenes").code == 0
    flags = ("--data", "scenes", "--arch", "resnet20", "--head", head, "--epochs", "2", "--name", "one", *more)
    result = cli("train", *flags)
    assert result.code == 0, result.err
    return result


def test_data_add_show_and_check_know_boxes(cli: Cli) -> None:
    folder = dense.voc(Path("cells"))
    (folder / "Annotations/p00.xml").write_text(dense.xml("p00.jpg", [(5, 5, 20, 20, "disc"), (9, 9, 9, 9, "bar")]))
    result = cli("data", "add", "cells")
    assert result.code == 0
    assert "boxes without area, left out: 1 (Annotations/p00.xml: object 2 ('bar'))" in result.out
    assert "resnetctl train --data cells --arch resnet10_wd2 --head ssd" in result.out
    shown = cli("data", "show", "cells", "--sheet", "sheet.png")
    assert "boxes of class\ttrain\tval\ttest" in shown.out
    assert "(images without)\t2\t0\t1" in shown.out
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 600
    document = cli("data", "show", "cells", "--json").json()
    assert document["empty"] == {"train": 2, "val": 0, "test": 1}
    assert document["card"]["truth"] == "boxes"
    assert cli("data", "check", "cells").code == 0
    assert cli("data", "add", "cells", "--replace", "--strict").code == 3


def test_data_add_of_bad_annotations_lists_them_all_with_exit_3(cli: Cli) -> None:
    folder = dense.voc(Path("cells"))
    (folder / "Annotations/p00.xml").write_text(dense.xml("p00.jpg", [(20, 5, 10, 9, "disc"), (50, 5, 60, 9, "bar")]))
    (folder / "Annotations/p01.xml").write_text(dense.xml("p01.jpg", [(1, 1, 5, 5, "disc")], size=(7, 7)))
    result = cli("data", "add", "cells")
    assert result.code == 3
    assert "3 problems in 12 images with annotations (VOC XML)" in result.err
    for text in ("p00.xml: object 1 ('disc')", "p00.xml: object 2 ('bar')", "p01.xml: it says 7x7 pixels"):
        assert text in " ".join(result.err.split())
    checked = cli("data", "check", "cells")
    assert checked.code == 5
    assert "bad-annotation" in checked.out


def test_masks_of_0_and_255_get_a_hint_that_works(cli: Cli) -> None:
    folder = dense.masked(Path("cells"), names="ground\ncell\n")
    for file in folder.glob("masks/*/*.png"):
        mask = np.asarray(Image.open(file))
        Image.fromarray(np.where((mask > 0) & (mask < 255), 255, 0).astype(np.uint8)).save(file)
    result = cli("data", "add", "cells")
    assert result.code == 3
    assert "`cell 255`" in " ".join(result.err.split())
    (folder / "classes.txt").write_text("ground 0\ncell 255\n")
    assert cli("data", "add", "cells").code == 0


def test_a_detector_is_trained_measured_exported_and_used(cli: Cli) -> None:
    result = trained(cli, "boxes")
    assert "resnet20 + tiny_det on scenes" in result.err + result.out
    assert "map50" in result.err + result.out
    assert "val acc" not in result.err + result.out
    measured = cli("eval", "one")
    assert "95 % interval" in measured.out or "map50" in measured.out
    assert "class\tap50\tap\t95 % interval\tboxes" in measured.out
    document = cli("eval", "one", "--split", "val", "--json").json()
    assert {"map50", "map", "per_class", "count"} <= document.keys()
    assert document["task"] == "detect"
    assert cli("export", "one", "--onnx").code == 0
    other = cli("eval", "runs/one/export/model.onnx", "--split", "val", "--json").json()
    assert other["map50"] == pytest.approx(document["map50"], abs=1e-4)
    picture = "source/JPEGImages/p00.jpg"
    found = cli("predict", "one", picture, "--min-score", "0", "--out", "drawn", "--json").json()
    assert 50 < len(found["results"][0]["boxes"]) <= 100  # those in the padding are none
    assert Path("drawn/p00.png").is_file()
    table = cli("predict", "one", picture, "--min-score", "0")
    assert table.out.splitlines()[0] == "file\tclass\tscore\tx1\ty1\tx2\ty2"


def test_limits_and_the_file_of_images_are_arguments_of_eval(cli: Cli) -> None:
    trained(cli, "masks")
    result = cli("eval", "one", "--min-primary", "0.999", "--per-image", "images.csv")
    assert result.code == 5
    assert "miou is" in result.err
    assert "per image" in result.out
    assert Path("images.csv").read_text().startswith("split,row,file,miou,pixel_accuracy\n")
    refused = cli("eval", "one", "--min-accuracy", "0.5")
    assert refused.code == 2
    assert "--min-primary 0.5" in refused.err


def test_a_segmenter_is_trained_measured_and_used(cli: Cli) -> None:
    result = trained(cli, "masks", "--augment", "resized-crop")
    assert re.search(r"val miou +\d.* \(95 % interval \d", result.err + result.out)
    measured = cli("eval", "one")
    assert "miou" in measured.out
    assert "class\tiou\t95 % interval\tpixels" in measured.out
    document = json.loads(Path("runs/one/eval/scenes-test.json").read_text())
    assert {"miou", "pixel_accuracy", "per_class", "count"} <= document.keys()
    assert cli("predict", "one", "source/images/test/023.png", "--out", "drawn").code == 0
    with Image.open("drawn/023.png") as mask:
        assert mask.size == (40, 30)
    summary = cli("runs", "show", "one", "--json").json()["summary"]
    assert summary["primary"] == "miou"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("train", "--data", "scenes", "--arch", "resnet20"), 2, "'scenes' has boxes: a head learns from them"),
        (("train", "--data", "scenes", "--head", "tiny_seg"), 2, "head 'tiny_seg' learns from masks"),
        (("train", "--data", "scenes", "--head", "tiny_det", "--augment", "standard+cutout"), 2, "cannot move boxes"),
        (("train", "--data", "scenes", "--head", "none"), 2, "no head is called 'none'"),
        (("bench", "--data", "scenes", "--set", "model.head=tiny_det"), 2, "bench measures classifiers"),
    ],
)
def test_what_does_not_go_together_ends_before_the_run(cli: Cli, words: tuple[str, ...], code: int, text: str) -> None:
    dense.voc(Path("source"), 24)
    assert cli("data", "add", "source", "--name", "scenes").code == 0
    result = cli(*words)
    assert result.code == code
    assert text in " ".join(result.err.split())
    assert not Path("runs").exists()


def test_eval_and_report_refuse_what_only_classifiers_have(cli: Cli) -> None:
    trained(cli, "boxes")
    limited = cli("eval", "one", "--min-accuracy", "0.5")
    assert limited.code == 2
    assert "this network is no classifier" in limited.err
    judged = cli("report", "one", "--ood", "noise")
    assert judged.code == 2
    assert "this part of a report is for classifiers" in " ".join(judged.err.split())


def test_a_finished_run_is_verified(cli: Cli) -> None:
    trained(cli, "masks")
    result = cli("runs", "verify", "one")
    assert result.code == 0, result.out + result.err


def test_a_detector_is_listed_with_its_number_and_an_empty_picture_is_told(cli: Cli) -> None:
    trained(cli, "boxes")
    assert cli("eval").code == 0
    (row,) = cli("runs", "list").out.splitlines()[1:]
    assert row.count("map50 ") == 2
    assert "map50" in cli("runs", "show", "one").out
    picture = next(Path("source").rglob("*.jpg"))
    result = cli("predict", "one", str(picture), "--min-score", "1")
    assert result.code == 0
    assert result.out == ""
    assert f"no box found in {picture}" in " ".join(result.err.split())


def test_report_shows_the_verdict_and_writes_a_page(cli: Cli) -> None:
    trained(cli, "boxes")
    result = cli("report", "one", "--html", "page.html", "--plots", "plots")
    assert result.code == 0
    assert result.out.startswith("one/model.safetensors has map50 ")
    assert "class\tap50\tap\t95 % interval\tboxes" in result.out
    assert "worst images\tf1\tboxes\tfound\tright" in result.out
    assert "calibration, prediction sets" in result.err
    assert Path("page.html").is_file()
    assert Path("plots/precision-recall.svg").is_file()
    document = cli("report", "one", "--json").json()
    assert document["task"] == "detect"
    assert cli("report", "one", "--calibrate", "new.safetensors").code == 2
