"""`predict` with a head: boxes and masks in the pixels of the pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import dense, heads

from resnetctl import registry
from resnetctl.engine.meters.detect import Detect
from resnetctl.engine.meters.multilabel import Multilabel
from resnetctl.errors import DataError, UsageError, WeightsError, WorkFailed
from resnetctl.spec import ImageSpec, Output
from resnetctl.system import settings
from resnetctl.tasks.explain import explain
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.nets.predicted import FoundOutcome, Wanted, _Names, predict_net
from resnetctl.tasks.predict import predict


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


def found(target: Path, *images: Path, **options: object) -> FoundOutcome:
    outcome = predict(target, [*images], settings=settings.load(), **options)  # type: ignore[arg-type]
    assert isinstance(outcome, FoundOutcome)
    return outcome


def picture(folder: Path, number: int = 0) -> Path:
    return folder / f"boxes/JPEGImages/p{number:02d}.jpg"


def test_boxes_are_listed_best_first_and_drawn(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    run = heads.run("boxes", "epochs=25", "lr=0.003")
    outcome = found(run.path, picture(tmp_path), picture(tmp_path, 1), out=tmp_path / "out", min_score=0.2)
    (first, second), body = outcome.results, outcome.to_json()
    scores = [score for _, score, _ in first.boxes]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.2
    assert body["results"][0]["boxes"][0].keys() == {"class", "score", "box"}
    true = next(iter(dense.scenes(1)))[2]
    name, _, box = first.boxes[0]
    assert min(np.abs(np.subtract(box, corners[:4])).max() for corners in true if corners[4] == name) < 4
    assert second.written == tmp_path / "out/p01.png"
    with Image.open(tmp_path / "out/p00.png") as drawn:
        assert drawn.size == first.size == (40, 30)
    exported = export(run.path, settings=settings.load()).path
    other = found(exported, picture(tmp_path), min_score=0.2).results[0]
    for one, two in zip(first.boxes, other.boxes, strict=True):
        assert one[2] == pytest.approx(two[2], abs=1e-2)


def test_masks_have_the_size_of_the_picture_and_indices_of_classes(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1")
    wide = tmp_path / "wide.png"
    Image.fromarray(np.full((50, 90, 3), 100, np.uint8)).save(wide)
    outcome = found(run.path, wide, wide, out=tmp_path / "out")
    assert [item.written for item in outcome.results] == [tmp_path / "out/wide.png", tmp_path / "out/wide-2.png"]
    with Image.open(tmp_path / "out/wide.png") as mask:
        assert (mask.mode, mask.size) == ("P", (90, 50))
        classes = np.asarray(mask)
    shares = dict(outcome.results[0].shares)
    for label, name in enumerate(("ground", "bar", "disc")):
        assert shares.get(name, 0) == pytest.approx((classes == label).mean())


def test_pictures_that_cannot_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    run = heads.run("boxes", "epochs=1")
    (tmp_path / "bad.png").write_bytes(b"x")
    outcome = found(run.path, tmp_path / "bad.png", picture(tmp_path))
    assert [item.problem is None for item in outcome.results] == [False, True]
    with pytest.raises(DataError, match="1 image cannot be read"):
        outcome.require()


def test_arguments_and_verbs_of_classifiers_are_refused(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1")
    image = tmp_path / "masks/images/train/000.png"
    for options in ({"top": 3}, {"level": 0.9}, {"min_score": 0.5}):
        with pytest.raises(UsageError, match=r"this network (is no|has)"):
            found(run.path, image, **options)
    with pytest.raises(WeightsError, match="only a classifier will do"):
        list(explain(run.path, [image], settings=settings.load(), out=tmp_path / "maps"))  # type: ignore[call-arg]


def names(folder: Path | None, *pictures: Path) -> list[Path | None]:
    """The names for pictures that are read in this order."""
    chosen = _Names(folder, pictures)
    return [chosen.next(picture) for picture in pictures]


def test_no_two_pictures_are_written_under_one_name(tmp_path: Path) -> None:
    pictures = [tmp_path / name for name in ("x/a.png", "y/a.jpg", "z/a-2.png", "z/a.b.png", "w/a-2.bmp")]
    found = names(tmp_path / "out", *pictures)
    assert [path.name for path in found if path] == ["a.png", "a-2.png", "a-2-2.png", "a.b.png", "a-2-3.png"]
    assert names(None, *pictures) == [None] * 5
    assert _Names(tmp_path, []).next(None) == tmp_path / "image.png"


def test_a_picture_that_is_read_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    found = names(tmp_path, tmp_path / "a.jpg", tmp_path / "real.png", tmp_path / "link.png", tmp_path / "a.png")
    assert [path.name for path in found if path] == ["a-2.png", "real-2.png", "link-2.png", "a-3.png"]
    monkeypatch.chdir(tmp_path)
    assert names(Path("."), tmp_path / "real.png") == [Path("real-2.png")]
    assert names(tmp_path, Path("../") / tmp_path.name / "real.png") == [tmp_path / "real-2.png"]


def answering(
    task: str, parts: tuple[np.ndarray, ...], *, fit: str = "pad", thresholds: tuple[float, ...] = ()
) -> Answering:
    """A network that gives this answer for every picture."""
    image: Any = {"size": 40, "fit": fit}
    card: Any = SimpleNamespace(
        image=ImageSpec(**image), classes=("ground", "bar", "disc"), task=task, vector=None, thresholds=thresholds
    )
    return Answering(card=card, digest="", task=registry.get("task", task), answer=lambda _: parts)


def wide(folder: Path, name: str = "wide.png", *, mode: str = "RGB") -> Path:
    """A picture of 80 x 40 pixels."""
    Image.new(mode, (80, 40), 100 if mode == "L" else (100, 100, 100)).save(folder / name)
    return folder / name


BOXES = (
    np.array([[[0, 10, 20, 30], [10, 15, 20, 25], [0, 0, 40, 8], [5, 12, 9, 20]]], np.float32),
    np.array([[0.5, 0.9, 0.95, 0.5]], np.float32),
    np.array([[1, 2, 0, 0]]),
)


def test_boxes_lie_in_the_picture_best_first_and_the_smallest_score_counts(tmp_path: Path) -> None:
    net = answering("detect", BOXES)
    (item,) = predict_net(net, [wide(tmp_path)], wanted=Wanted(out=None, min_score=0.5, max_pixels=10**6)).results
    assert item.boxes == (
        ("disc", pytest.approx(0.9), (20, 10, 40, 30)),
        ("bar", 0.5, (0, 0, 40, 40)),
        ("ground", 0.5, (10, 4, 18, 20)),
    )  # the third lies in the padding: it is none
    (few,) = predict_net(net, [wide(tmp_path)], wanted=Wanted(out=None, min_score=0.51, max_pixels=10**6)).results
    assert [box[0] for box in few.boxes] == ["disc"]
    assert (few.written, few.size) == (None, (80, 40))


def test_a_grey_picture_is_drawn_in_colour_and_without_a_box_as_it_was(tmp_path: Path) -> None:
    grey = wide(tmp_path, mode="L")
    for least, changed in ((0.5, True), (1.0, False)):
        net = answering("detect", BOXES)
        (item,) = predict_net(
            net, [grey], wanted=Wanted(out=tmp_path / "out", min_score=least, max_pixels=10**6)
        ).results
        assert item.written == tmp_path / "out/wide.png"
        with Image.open(item.written) as drawn:
            assert (drawn.mode, drawn.size) == ("RGB", (80, 40))
            assert (np.asarray(drawn) != 100).any() == changed


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
def test_shares_of_a_mask_are_those_of_the_written_file_and_sum_to_one(tmp_path: Path, fit: str) -> None:
    maps = np.zeros((1, 40, 40), np.int64)
    maps[:, 20:], maps[:, 25:, :10] = 2, 1
    net = answering("segment", (maps,), fit=fit)
    (item,) = predict_net(net, [wide(tmp_path)], wanted=Wanted(out=tmp_path / "out", max_pixels=10**6)).results
    assert item.written is not None
    with Image.open(item.written) as mask:
        assert (mask.mode, mask.size) == ("P", (80, 40))
        pixels = np.asarray(mask)
    assert dict(item.shares) == {name: float((pixels == label).mean()) for label, name in enumerate(net.card.classes)}
    assert sum(share for _, share in item.shares) == pytest.approx(1)
    assert [share for _, share in item.shares] == sorted((share for _, share in item.shares), reverse=True)


def test_probabilities_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    """They would pass for a picture without a label: weights can be finite and overflow in the network."""
    net = answering("multilabel", (np.array([[np.nan, 0.9, 0.1]], np.float32),))
    with pytest.raises(WorkFailed, match="not finite"):
        predict_net(net, [wide(tmp_path)], wanted=Wanted(out=None, min_score=0.5, max_pixels=10**6))


def test_the_json_of_a_bad_picture_has_its_problem_and_folders_count_what_is_left_out(tmp_path: Path) -> None:
    wide(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "notes.md").write_text("x")
    outcome = predict_net(
        answering("detect", BOXES), [tmp_path], wanted=Wanted(out=None, min_score=0.5, max_pixels=10**6)
    )
    bad, good = outcome.to_json()["results"]
    assert (bad["boxes"], bad["size"], bad["written"]) == ([], [0, 0], None)
    assert bad["problem"] in outcome.problems[0]
    assert (good["problem"], len(good["boxes"])) == (None, 3)
    assert ".md: 1" in outcome.notices[0]


def test_a_picture_of_too_many_pixels_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    net = answering("segment", (np.zeros((1, 40, 40), np.int64),))
    outcome = predict_net(net, [wide(tmp_path)], wanted=Wanted(out=None, max_pixels=80 * 40 - 1))
    assert "80x40 pixels are over the limit" in outcome.problems[0]
    with pytest.raises(DataError, match="1 image cannot be read"):
        outcome.require()


def named(net: Answering, kind: type) -> Answering:
    """The network, with a task of a plugin that has the form of one of the core's under another name."""
    net.card.task = "mine"  # type: ignore[misc]  # the card of these tests is no WeightsCard
    return replace(net, task=type("Mine", (kind,), {"name": "mine"})())


def test_a_task_of_a_plugin_is_known_by_the_form_of_its_outputs(tmp_path: Path) -> None:
    picture = wide(tmp_path)
    own, mine = (
        predict_net(net, [picture], wanted=Wanted(out=tmp_path / "out", min_score=0.5, max_pixels=10**6))
        for net in (answering("detect", BOXES), named(answering("detect", BOXES), Detect))
    )
    assert own.results[0].boxes == mine.results[0].boxes
    (one,), (two,) = own.to_json()["results"], mine.to_json()["results"]
    assert (mine.to_json()["task"], two["boxes"]) == ("mine", one["boxes"])
    shares = (np.array([[0.1, 0.9, 0.6]], np.float32),)
    net = named(answering("multilabel", shares), Multilabel)
    (item,) = predict_net(net, [picture], wanted=Wanted(out=None, min_score=None, max_pixels=10**6)).to_json()[
        "results"
    ]
    assert [label["class"] for label in item["labels"]] == ["bar", "disc"]


def test_outputs_of_another_form_are_given_as_they_are(tmp_path: Path) -> None:
    outputs = (Output(name="counts", shape=("batch", "classes")),)
    task = type("Counts", (Detect,), {"name": "counts", "outputs": outputs})()
    net = replace(answering("detect", (np.array([[3, 0, 1]]),)), task=task)
    found = predict_net(net, [wide(tmp_path)], wanted=Wanted(out=None, min_score=None, max_pixels=10**6))
    assert found.to_json()["results"][0]["outputs"] == {"counts": [3, 0, 1]}
    with pytest.raises(UsageError, match="nothing to draw"):
        predict_net(net, [wide(tmp_path)], wanted=Wanted(out=tmp_path / "out", min_score=None, max_pixels=10**6))


@pytest.mark.parametrize(("least", "classes"), [(None, ["disc", "ground"]), (0.6, ["disc"]), (0.0, 3)])
def test_thresholds_of_the_card_choose_labels_unless_a_score_is_given(
    tmp_path: Path, least: float | None, classes: Any
) -> None:
    net = answering("multilabel", (np.float32([[0.3, 0.4, 0.7]]),), thresholds=(0.2, 0.5, 0.6))
    (item,) = predict_net(net, [wide(tmp_path)], wanted=Wanted(min_score=least)).results
    names = [name for name, _ in item.labels]
    assert (names if least != 0.0 else len(names)) == classes
