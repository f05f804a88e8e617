"""A network that reads numbers gets them in training, `eval`, `predict` and its ONNX file, or says what is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import heads

import resnetctl as rc
from resnetctl import runs
from resnetctl.data.store import open_store
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_writer import seal
from resnetctl.errors import DataError, UsageError, WeightsError
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.measured import NetOutcome
from resnetctl.tasks.predict import predict
from resnetctl.weights.file import read_header


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and their numbers, and a run with its ONNX file: made once, because it takes seconds."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch, heads.registered():
        patch.setenv("RESNETCTL_DATA_DIR", str(folder / "data"))
        patch.setenv("RESNETCTL_RUNS_DIR", str(folder / "runs"))
        settings.load.cache_clear()
        heads.stored("numbers", folder)
        sets = ("epochs=10", "lr=0.01", "augment=none", "precision=fp32")
        export(heads.run("numbers", *sets).path, settings=settings.load())
    return folder


@pytest.fixture
def folder(trained: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `trained`, whose data are those of this test."""
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(trained / "data"))
    settings.load.cache_clear()
    return trained


@pytest.fixture
def run(folder: Path) -> runs.RunDir:
    return runs.RunDir(folder / "runs/one")


def test_both_parts_are_learned_and_the_onnx_file_reads_the_numbers_as_they_are(run: runs.RunDir, folder: Path) -> None:
    card, store = read_header(run.weights).card, open_store(settings.load().data_dir, "scenes")
    assert card.vector == store.card.vector
    found = evaluate(run.path, settings=settings.load(), split="train", min_primary=0.9)
    found.require()  # neither the pixels nor the numbers alone tell more than two pairs of classes apart
    assert [item.name for item in onnx.load(run.onnx).graph.input] == ["pixel_values", "vector"]
    other = evaluate(run.onnx, settings=settings.load(), split="train")
    assert isinstance(found, NetOutcome)
    assert isinstance(other, NetOutcome)
    assert other.measured.figures["top1"] == found.measured.figures["top1"]
    assert other.measured.figures["loss"] == pytest.approx(found.measured.figures["loss"], abs=1e-5)
    # the same pictures, from a file of numbers, an array, and the ONNX file
    folder = folder / "numbers"
    pictures = sorted((folder / "img").iterdir())[:3]
    (first, *_), numbers = (
        predict(run.path, pictures, settings=settings.load(), vectors=folder / "numbers.csv").results,
        [],
    )
    for line in (folder / "numbers.csv").read_text().splitlines()[1:4]:
        numbers.append([float(cell) for cell in line.split(",")[1:]])
    answers = [rc.predict(target, pictures, vectors=numbers, top=2) for target in (run.path, run.onnx)]
    for one, two in zip(*answers, strict=True):
        assert [guess["class"] for guess in one["predictions"]] == [guess["class"] for guess in two["predictions"]]
    name, share = first.labels[0]
    assert answers[0][0]["predictions"][0] == {"class": name, "probability": pytest.approx(share, abs=1e-6)}
    turned = [[-weight, same, length] for weight, same, length in numbers]
    assert [item["predictions"][0]["class"] for item in rc.predict(run.path, pictures, vectors=turned)] != [
        item["predictions"][0]["class"] for item in answers[0]
    ]


def test_what_is_missing_or_too_much_is_said(run: runs.RunDir, folder: Path) -> None:
    machine, folder = settings.load(), folder / "numbers"
    pictures = sorted((folder / "img").iterdir())[:2]
    with pytest.raises(UsageError, match="reads 3 numbers with each image, and none are given"):
        predict(run.path, pictures, settings=machine)
    few = folder / "few.csv"
    few.write_text("path,weight,same,length\nimg/000.png,1,2,3\n")
    with pytest.raises(DataError, match="1 image of 2 have no line") as caught:
        predict(run.path, pictures, settings=machine, vectors=few)
    assert list(caught.value.problems) == [str(pictures[1])]
    few.write_text("path,weight,length\n")
    with pytest.raises(DataError, match="lacks 'same'"):
        predict(run.path, pictures, settings=machine, vectors=few)
    with pytest.raises(DataError, match="1 row for 2 images"):
        rc.predict(run.path, pictures, vectors=np.zeros((1, 3)))
    with pytest.raises(DataError, match="a folder has none"):
        export(run.path, settings=machine, images=folder)
    with pytest.raises(DataError, match="reads 3 numbers with each image, and the dataset has none"):
        evaluate(run.path, settings=machine, data=str(bare(folder)))


def bare(folder: Path) -> Path:
    """Write a source of the same pictures without numbers; return it."""
    path = folder / "bare.csv"
    path.write_text((folder / "labels.csv").read_text())
    return path


def test_a_file_whose_second_input_is_not_what_its_card_says_is_refused(run: runs.RunDir) -> None:
    model = onnx.load(run.onnx)
    check(seal(model), "net.onnx")
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 4
    with pytest.raises(WeightsError, match=r"'vector' is not float32 of \(batch, 3\)"):
        check(seal(model), "net.onnx")
    del model.graph.input[1]
    with pytest.raises(WeightsError, match="its input must be 'pixel_values' and 'vector'"):
        check(seal(model), "net.onnx")
