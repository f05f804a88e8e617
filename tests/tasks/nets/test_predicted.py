"""`predict` with a head: boxes and masks in the pixels of the pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import dense, heads

from resnetctl.errors import DataError, UsageError, WeightsError
from resnetctl.system import settings
from resnetctl.tasks.explain import explain
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.predicted import FoundOutcome
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
    for options in ({"top": 3}, {"level": 0.9}):
        with pytest.raises(UsageError, match="no classifier"):
            found(run.path, image, **options)
    with pytest.raises(WeightsError, match="this needs a classifier"):
        list(explain(run.path, [image], settings=settings.load(), out=tmp_path / "maps"))  # type: ignore[call-arg]
