"""`report` of networks with a head: numbers by class, the pictures that are answered worst and best, and a page."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import heads

import resnetctl as rc
from resnetctl.errors import UsageError
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.report.nets import LEFT_OUT, SHOWN, NetReport
from resnetctl.tasks.report.report import report


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


def judged(kind: str, folder: Path, **options: Any) -> NetReport:
    """The report of a short run, on val and train's own pictures where `split` says so."""
    heads.stored(kind, folder, count=24)
    found = report(heads.run(kind, "epochs=3", "lr=0.003").path, settings=settings.load(), **options)
    assert isinstance(found, NetReport)
    return found


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_the_document_has_the_numbers_of_eval_and_the_extreme_pictures(kind: str, tmp_path: Path) -> None:
    found = judged(kind, tmp_path)
    body = found.to_json()
    numbers = evaluate(found.target, settings=settings.load()).to_json()
    for key in ("task", "primary", "interval", "count", "per_class", "looks", numbers["primary"]):
        assert body[key] == numbers[key], key
    assert body["schema"] == "resnetctl.report/1"
    assert LEFT_OUT in body["notices"]
    first = {"boxes": "f1", "masks": "miou"}[kind]
    assert len(body["worst"]) == len(body["best"]) == 1  # of two images
    assert body["worst"][0][first] <= body["best"][0][first]
    assert {body["worst"][0]["file"], body["best"][0]["file"]} == {
        {"boxes": f"JPEGImages/p{number}.jpg", "masks": f"images/test/0{number}.png"}[kind] for number in (22, 23)
    }
    assert (found.looks is not None, found.provenance["head"]) == (True, heads.KINDS[kind][0])
    curves = {"boxes": [["recall", "precision"]] * 2, "masks": []}[kind]
    assert [item["axes"] for item in body["curves"]] == curves


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_the_page_holds_verdict_classes_and_pictures_and_loads_nothing(kind: str, tmp_path: Path) -> None:
    found = judged(kind, tmp_path)
    page = found.write_html(tmp_path / "page.html").read_text()
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["verdict", "classes", "pictures", "curves", "provenance"]
    assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)", page)
    assert page.count('alt="truth"') == page.count('alt="answer"') == 2
    assert "calibration, prediction sets" in page
    assert ("Precision by recall" in page) == (kind == "boxes")
    names = {path.name for path in found.write_plots(tmp_path / "plots")}
    assert names >= {"loss.svg", "number.svg"}
    assert ("precision-recall.svg" in names) == (kind == "boxes")
    assert "accuracy.svg" not in names
    assert found.write_html(tmp_path / "again.html").read_text() == page
    rows = tuple({key: value for key, value in row.items() if key != "interval"} for row in found.measured.per_class)
    bare = replace(found, measured=replace(found.measured, per_class=rows))
    assert bare.write_html(tmp_path / "bare.html").read_text() != page, "a task may have no intervals of classes"


def test_the_truth_is_drawn_beside_the_answer(tmp_path: Path) -> None:
    found = judged("masks", tmp_path)
    for truth, answer in found.gallery.scenes:
        one, two = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (truth, answer))
        assert one.shape == two.shape
        assert np.abs(one - two).max() > 50  # three epochs are not enough to be right everywhere


def test_options_of_classifiers_are_refused_before_any_work(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1")
    for options in ({"against": run.path}, {"ood": ["noise"]}, {"corruption": ["fog"]}, {"calibrate": tmp_path / "x"}):
        with pytest.raises(UsageError, match="for classifiers"):
            report(run.path, settings=settings.load(), **options)  # type: ignore[arg-type]
    found = rc.report(run.path, split="val", quick=True)
    assert isinstance(found, NetReport)
    assert (found.split, found.looks) == ("val", None)
    assert SHOWN >= len(found.worst) > 0
