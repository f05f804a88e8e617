"""`explain` writes a picture and an array for each image, and names what it cannot read."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.trained import CLASSES, IMAGE, card, make_pictures, make_run, network

import resnetctl as rc
from resnetctl.data.images import prepare
from resnetctl.errors import DataError, UsageError
from resnetctl.runs import RunDir
from resnetctl.system import settings
from resnetctl.tasks.explain import ExplainReport, explain
from resnetctl.trust.pictures.maps import class_maps, normalised


@pytest.fixture
def run() -> RunDir:
    return make_run(card())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


def explained(images: list[Path], **options: object) -> ExplainReport:
    return explain(None, images, settings=settings.load(), **options)


def test_each_image_has_a_picture_and_an_array(run: RunDir, pictures: Path) -> None:
    outcome = explained([pictures], out="new/maps")
    assert (outcome.method, outcome.stage, len(outcome.results)) == ("gradcam", "layer2", 5)
    for number, item in enumerate(outcome.results):
        assert (item.picture, item.array) == tuple(
            Path(f"new/maps/00{number}-{number}.{end}") for end in ("png", "npy")
        )
        assert Image.open(io.BytesIO(item.picture.read_bytes())).size == (256, 256)
        pixels = normalised(prepare(item.file, IMAGE)[None], IMAGE, device=torch.device("cpu"))
        label = torch.tensor([CLASSES.index(item.label)])
        wanted, logits = class_maps(network(), pixels, labels=label)
        assert np.load(item.array, allow_pickle=False) == pytest.approx(wanted[0], abs=1e-5)
        assert CLASSES[logits.argmax()] == item.label
    document = outcome.to_json()
    assert document["schema"] == "resnetctl.explain/1"
    assert {"file", "picture", "array", "class", "probability", "insertion", "deletion", "random_head"} == set(
        document["results"][0]
    )
    json.dumps(document, allow_nan=False)


def test_a_class_and_a_stage_can_be_chosen(run: RunDir, pictures: Path) -> None:
    outcome = explained([pictures / "0.png"], class_="cow", stage="layer1", method="layercam")
    assert outcome.results[0].label == "cow"
    assert np.load(outcome.results[0].array).shape == (8, 8)
    again = rc.explain(run.path, pictures / "0.png", class_="cow", stage="layer1", method="layercam", out="again")
    assert again.results[0].score == outcome.results[0].score


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"class_": "dog"}, "'dog' is no class of these weights"),
        ({"stage": "layer3"}, "'layer3' is no stage"),
        ({"method": "cam"}, "'cam' is no method"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_written(
    run: RunDir, pictures: Path, options: dict[str, str], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        explained([pictures], **options)
    assert not Path("maps").exists()


def test_an_onnx_file_has_no_gradients(run: RunDir, pictures: Path) -> None:
    run.write_onnx(b"")
    with pytest.raises(UsageError, match="no gradients"):
        explain(run.onnx, [pictures], settings=settings.load())
    with pytest.raises(UsageError, match="no image to explain"):
        explained([])


def test_bad_files_do_not_stop_the_good_ones(run: RunDir, pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    outcome = explained([pictures])
    assert len(outcome.results) == 5
    with pytest.raises(DataError, match="1 image cannot be read"):
        outcome.require()
