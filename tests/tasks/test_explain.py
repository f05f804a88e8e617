"""`explain` writes a picture and an array for each image, and names what it cannot read."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.trained import ARCH, CLASSES, IMAGE, card, make_pictures, make_run, network

import resnetctl as rc
from resnetctl.data.images import prepare
from resnetctl.errors import DataError, UsageError, WeightsError
from resnetctl.models.resnet import build
from resnetctl.runs import RunDir
from resnetctl.spec import Calibration
from resnetctl.system import settings
from resnetctl.tasks.explain import ExplainReport, Request, explain
from resnetctl.trust.pictures.maps import class_maps, normalised
from resnetctl.weights.file import to_bytes


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
    assert re.fullmatch(
        r"\w+ [\d.]+%; insertion [\d.]+, deletion [\d.]+; .*0\.png", dict(outcome.rows())[str(pictures / "0.png")]
    )
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


@pytest.mark.parametrize("block", ["preact_basic", "bottleneck", "preact_bottleneck"])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_every_block_is_explained_by_every_method(pictures: Path, block: str, method: str) -> None:
    arch = dataclasses.replace(ARCH, block=block, block_args={})
    torch.manual_seed(0)
    net = build(arch, classes=3, image=IMAGE).eval()
    run = make_run(card())
    run.save_weights(to_bytes(net.state_dict(), card(arch=arch)))
    outcome = explained([pictures / "1.png"], method=method, class_="bee")
    pixels = normalised(prepare(pictures / "1.png", IMAGE)[None], IMAGE, device=torch.device("cpu"))
    wanted, logits = class_maps(net, pixels, labels=torch.tensor([1]), method=method)
    assert np.load(outcome.results[0].array) == pytest.approx(wanted[0], abs=1e-5)
    shares = torch.from_numpy(logits).softmax(1)
    assert outcome.results[0].probability == pytest.approx(shares[0, 1].item(), abs=1e-6)


def test_a_picture_in_grey_and_in_colour_have_the_map_of_what_the_network_sees(run: RunDir, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 256, (8, 8), dtype=np.uint8)
    for name, array in (("grey", values), ("colour", np.stack([values] * 3, axis=2))):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    grey, colour = explained([tmp_path / "grey.png", tmp_path / "colour.png"]).results
    assert np.load(grey.array) == pytest.approx(np.load(colour.array), abs=1e-6)
    assert grey.picture.read_bytes() == colour.picture.read_bytes()
    assert Image.open(grey.picture).mode == "RGB"


def test_the_probability_is_the_calibrated_one(run: RunDir, pictures: Path) -> None:
    plain = explained([pictures / "0.png"]).results[0]
    cooled = Calibration(temperature=4.0, sets={}, images=500)
    run.save_weights(to_bytes(network().state_dict(), card(calibration=cooled)))
    soft = explained([pictures / "0.png"], out="soft").results[0]
    assert soft.label == plain.label
    assert soft.probability < plain.probability
    (predicted,) = rc.predict(run.path, [pictures / "0.png"])
    best = predicted["predictions"][0]
    assert (best["class"], best["probability"]) == (soft.label, pytest.approx(soft.probability, abs=1e-5))


def test_broken_weights_are_refused_before_a_folder_is_made(run: RunDir, pictures: Path) -> None:
    state = network().state_dict()
    state["fc.bias"][0] = torch.inf
    run.save_weights(to_bytes(state, card()))
    with pytest.raises(WeightsError, match=r"fc\.bias"):
        explained([pictures])
    assert not Path("maps").exists()


def test_bad_files_do_not_stop_the_good_ones(run: RunDir, pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    outcome = explained([pictures])
    assert len(outcome.results) == 5
    with pytest.raises(DataError, match="1 image cannot be read"):
        outcome.require()


def test_a_class_that_is_a_number_may_be_given_as_one(pictures: Path) -> None:
    make_run(card())
    assert Request(class_=3).label == "3"
    with pytest.raises(UsageError, match="'3' is no class of these weights") as caught:
        explained([pictures / "0.png"], class_=3)
    assert "(class_)" in str(caught.value)
    assert caught.value.hint == ("known: " + ", ".join(sorted(CLASSES)),)
