"""A hub folder loads in timm with the same logits, and its model card holds what is known."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.trained import card, network

from resnetctl import registry
from resnetctl.compress.depths import without_blocks
from resnetctl.data.preprocess import normalise
from resnetctl.deploy.exporters.hub import WEIGHTS, config, hub, is_in_timm, model_card
from resnetctl.errors import CheckFailed, UsageError, WeightsError
from resnetctl.exporting import Bundle
from resnetctl.models.resnet import build
from resnetctl.spec import Calibration, ImageSpec, WeightsCard
from resnetctl.weights.file import to_bytes

LARGE = ImageSpec(size=96, resize=112)
EVAL = {"data": "pets", "top1": 0.9, "count": 50, "interval": [0.8, 0.95], "split": "test"}


def bundle(folder: Path, described: WeightsCard, model: torch.nn.Module, **changes: Any) -> Bundle:
    weights = folder / "weights"
    weights.write_bytes(to_bytes(model.state_dict(), described))
    return Bundle(card=described, onnx=b"", weights=weights, **({"input": "float"} | changes))


def resnet18(classes: tuple[str, ...] = ("cat", "dog", "eel")) -> tuple[WeightsCard, torch.nn.Module]:
    torch.manual_seed(0)
    arch = registry.get("arch", "resnet18").resolve_stem(LARGE.size)
    described = WeightsCard(arch=arch, classes=classes, image=LARGE)
    return described, build(arch, classes=len(classes), image=LARGE).eval()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder with the export of the tiny network."""
    folder = tmp_path / "hub"
    folder.mkdir()
    hub.write(bundle(tmp_path, card(), network()), folder)
    return folder


def test_timm_loads_the_folder_with_difference_zero(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    described, model = resnet18()
    folder = tmp_path / "hub"
    folder.mkdir()
    hub.write(bundle(tmp_path, described, model), folder)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))
    assert loaded.pretrained_cfg["label_names"] == ["cat", "dog", "eel"]
    assert list(loaded.pretrained_cfg["input_size"]) == [3, 96, 96]


def test_transformers_loads_the_folder_with_difference_zero(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    described, model = resnet18()
    folder = tmp_path / "hub"
    folder.mkdir()
    hub.write(bundle(tmp_path, described, model), folder)
    loaded = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(loaded(pixel_values=images).logits, model(images))


def test_the_weights_are_those_of_the_run_and_load_here(small: Path, tmp_path: Path) -> None:
    assert (small / WEIGHTS).read_bytes() == (tmp_path / "weights").read_bytes()
    logits = hub.open(small)(np.zeros((2, 8, 8, 1), np.uint8))
    assert logits.shape == (2, 3)


def test_what_timm_does_not_have_is_not_promised() -> None:
    described, _ = resnet18()
    assert is_in_timm(described)
    assert not is_in_timm(card())
    narrow = registry.get("arch", "resnet18").resolve_stem(32)
    assert not is_in_timm(WeightsCard(arch=narrow, classes=("a", "b"), image=ImageSpec(size=32)))


def test_a_network_with_fewer_blocks_is_no_longer_the_one_that_timm_has(tmp_path: Path) -> None:
    described, model = resnet18()
    assert is_in_timm(described)
    cut = without_blocks(model, [[0], [0, 1], [0, 1], [0, 1]], image=LARGE)
    shallow = dataclasses.replace(described, arch=cut.arch)
    assert not is_in_timm(shallow)
    folder = tmp_path / "hub"
    folder.mkdir()
    hub.write(bundle(tmp_path, shallow, cut), folder)
    assert "resnet18-blocks-1-2-2-2" in (folder / "README.md").read_text()
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        wanted = cut(normalise(torch.from_numpy(images).permute(0, 3, 1, 2), LARGE)).numpy()
    assert hub.open(folder)(images) == pytest.approx(wanted, abs=1e-4)


def test_a_changed_configuration_is_caught(small: Path) -> None:
    path = small / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"label_names": ["x"]}))
    with pytest.raises(CheckFailed) as caught:
        hub.open(small)
    assert caught.value.problems == ("label_names",)


def test_a_folder_without_weights_is_refused(small: Path) -> None:
    (small / WEIGHTS).unlink()
    with pytest.raises(WeightsError):
        hub.open(small)


def test_preprocessing_cannot_be_inside_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preprocessing"):
        hub.write(bundle(tmp_path, card(), network(), input="raw"), tmp_path)


def test_the_model_card_has_accuracy_interval_and_looks(tmp_path: Path) -> None:
    described, model = resnet18()
    flipped = EVAL | {"tta": "flip", "top1": 0.99}  # another number than that of the weights alone, but a look
    evals = {"pets-test": EVAL, "pets-test-onnx": EVAL, "pets-test-flip": flipped, "mine": {"split": "val"}}
    evals |= {"pets-test-other-code": EVAL | {"top1": 0.1}}
    text = model_card(bundle(tmp_path, described, model, evals=evals))
    assert text.count("Accuracy on `pets`, test: 90.00% of 50 images, 95 % interval 80.00% to 95.00%.") == 1
    assert "Looks at a test split, as reports in the run: 4." in text
    assert "99.00%" not in text
    assert "10.00%" not in text
    assert "timm's transform differs" in text
    assert 'timm.create_model("local-dir:FOLDER", pretrained=True)' in text
    for heading in ("Intended use", "Data and accuracy", "Preprocessing", "Licence"):
        assert f"\n## {heading}\n" in text


def test_the_model_card_repeats_what_eval_remarked(tmp_path: Path) -> None:
    described, model = resnet18()
    evals = {"pets-val": EVAL | {"split": "val", "notices": ["they have seen\n`images` of its val"]}}
    text = model_card(bundle(tmp_path, described, model, evals=evals))
    assert "95 % interval 80.00% to 95.00%. Remark: `they have seen 'images' of its val`.\n" in text


def test_the_model_card_says_how_logits_become_probabilities(tmp_path: Path) -> None:
    assert "was not measured" in model_card(bundle(tmp_path, card(), network()))
    calibration = Calibration(temperature=1.75, sets={"0.9": 0.12, "0.95": 0.05}, images=150)
    text = model_card(bundle(tmp_path, card(calibration=calibration), network()))
    assert "softmax(logits / 1.75), as 150 images of val chose it" in text
    assert "90%: 0.1200, 95%: 0.0500" in text


def test_class_names_stay_text(tmp_path: Path) -> None:
    names = ("`x`\n# heading", "</script>", "\u202egnp.exe", '"quoted"', "a" * 10_000)
    described, model = resnet18(names)
    text = model_card(bundle(tmp_path, described, model))
    shown = "`'x' # heading`, `</script>`, `<U+202E>gnp.exe`, `\"quoted\"`, `" + "a" * 100 + "`"
    assert f"Classes: {shown}." in text
    assert "\u202e" not in text
    assert config(described)["label_names"] == list(names)
