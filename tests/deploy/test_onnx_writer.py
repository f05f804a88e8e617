"""The exported bytes hold the network and its card, no trace of this machine, and are always the same."""

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.trained import ARCH, CLASSES, IMAGE, card, network

from resnetctl import __version__
from resnetctl.deploy import onnx_session
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_writer import Deployed, messages, seal, to_bytes
from resnetctl.deploy.parity import compare
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import WorkFailed
from resnetctl.models.resnet import build
from resnetctl.spec import Calibration

GATE = {"kind": "synthetic", "images": 74}
PROGRAM = """
import hashlib
from support.trained import card, network
from resnetctl.deploy.onnx_writer import to_bytes
data = to_bytes(network(), card(), weights_sha256="ab", gate={"kind": "synthetic", "images": 74})
print(hashlib.sha256(data).hexdigest())
"""


@pytest.fixture(scope="module")
def data() -> bytes:
    return to_bytes(network(), card(), weights_sha256="ab", gate=GATE)


@pytest.fixture
def proto(data: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(data)


def properties(proto: onnx.ModelProto) -> dict[str, str]:
    return {item.key: item.value for item in proto.metadata_props}


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_the_exported_file_computes_the_same_as_torch(data: bytes, batch: int) -> None:
    images = np.random.default_rng(batch).integers(0, 256, (batch, 8, 8, 1), dtype=np.uint8)
    wanted = torch_predictor(network(), IMAGE, device=torch.device("cpu"))(images)
    logits, shares = onnx_session.from_bytes(data, "").outputs(images)
    assert logits == pytest.approx(wanted, abs=1e-5)
    assert shares == pytest.approx(torch.from_numpy(wanted).softmax(1).numpy(), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_is_refused_by_name(data: bytes, bad: float) -> None:
    """The file alone refuses it, whoever runs it: without that, the whole answer is NaN."""
    run = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    wanted = run.run(["logits"], {"pixel_values": pixels})[0]
    assert np.isfinite(wanted).all()
    assert run.run(["logits"], {"pixel_values": pixels[:0]})[0].shape == (0, 3)
    pixels[2, 0, 7, 7] = bad
    with pytest.raises(Exception, match="pixel_values_must_be_finite"):
        run.run(["logits"], {"pixel_values": pixels})


def test_the_strict_reader_takes_a_group_norm_and_agrees_with_torch() -> None:
    arch = dataclasses.replace(ARCH, activation="gelu", norm="group")
    torch.manual_seed(0)
    model = build(arch, classes=3, image=IMAGE).eval()
    data = to_bytes(model, card(arch=arch), weights_sha256="ab", gate=GATE)
    reader = onnx_session.from_bytes(data, "")
    for batch in (1, 5):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 8, 8, 1), dtype=np.uint8)
        wanted = torch_predictor(model, IMAGE, device=torch.device("cpu"))(images)
        assert reader.logits(images) == pytest.approx(wanted, abs=1e-5)


def test_the_interface_has_one_image_input_and_two_outputs(proto: onnx.ModelProto) -> None:
    onnx.checker.check_model(proto, full_check=True)
    assert [item.name for item in proto.graph.input] == ["pixel_values"]
    assert [item.name for item in proto.graph.output] == ["logits", "probabilities"]
    batch, *sides = proto.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param == "batch"
    assert [side.dim_value for side in sides] == [1, 8, 8]
    assert proto.ir_version <= 10
    assert [(item.domain, item.version) for item in proto.opset_import] == [("", 20)]
    assert (proto.producer_name, proto.producer_version) == ("resnetctl", __version__)


def test_batch_norm_after_a_convolution_is_folded(proto: onnx.ModelProto) -> None:
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}


def test_the_metadata_has_the_names_that_other_readers_expect(proto: onnx.ModelProto) -> None:
    written = properties(proto)
    assert json.loads(written["names"]) == dict(zip("012", CLASSES, strict=True))
    assert json.loads(written["imgsz"]) == [8, 8]
    assert json.loads(written["mean"]) == [0.4]
    assert (written["task"], written["channels"], written["input_range"]) == ("classify", "1", "[0, 1]")
    assert (written["interpolation"], written["resize"], written["fit"]) == ("bilinear", "8", "crop")
    assert written["Image.BitmapPixelFormat"] == "Gray8"
    assert written["sha256.weights"] == "ab"
    assert {"description", "version", "license", "docs", "stride", "batch", "std"} <= written.keys()
    assert "date" not in written
    assert list(written) == [*sorted(written.keys() - {"sha256.model"}), "sha256.model"]


def test_the_card_survives_the_export(data: bytes) -> None:
    written = check(data, "")
    assert (written.weights, written.weights_sha256, written.gate) == (card(), "ab", GATE)


def test_the_file_holds_no_comments_and_no_paths(proto: onnx.ModelProto, data: bytes) -> None:
    del proto.metadata_props[:]
    for message in messages(proto):
        assert not getattr(message, "doc_string", "")
        assert not getattr(message, "metadata_props", ())
    for word in (b".py", b"File ", b"site-packages", str(Path(__file__).parents[2]).encode(), b"Deployed"):
        assert word not in data


def test_nodes_and_values_are_named_by_operator_and_position(proto: onnx.ModelProto) -> None:
    named = [(place, node) for place, node in enumerate(proto.graph.node) if node.op_type != "Gather"]
    assert len(named) == len(proto.graph.node) - 1
    for place, node in named:
        assert node.name == f"{node.op_type}_{place}"
    names = {name for node in proto.graph.node for name in node.output}
    assert names >= {"logits", "probabilities"}
    assert all(
        name.partition("_out")[0] in {node.name for node in proto.graph.node}
        for name in names - {"logits", "probabilities"}
    )
    assert {item.name for item in proto.graph.initializer} >= {"mean", "std"}


def test_another_process_and_folder_give_the_same_bytes(data: bytes, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_export_prints_nothing_and_restores_log_levels(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("torch.onnx")
    logger.setLevel(logging.INFO)
    to_bytes(network(), card(), weights_sha256="", gate=GATE)
    assert logger.level == logging.INFO
    logger.setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")


def test_seal_is_idempotent_and_follows_the_graph(proto: onnx.ModelProto, data: bytes) -> None:
    assert seal(proto) == data
    proto.graph.node[0].name = "other"
    assert seal(proto) != data
    assert check(seal(proto), "").weights == card()


def test_normalisation_is_part_of_the_graph() -> None:
    images = torch.rand(2, 1, 8, 8)
    model = network()
    with torch.no_grad():
        logits, shares = Deployed(model, IMAGE)(images)
        assert torch.equal(logits, model((images - 0.4) / 0.3))
        assert torch.equal(shares, logits.softmax(1))


def test_a_network_that_onnx_cannot_express_is_an_error() -> None:
    class Stubborn(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :3] * float(np.random.default_rng(int(images.sum().item())).random())

    with pytest.raises(WorkFailed, match="cannot export") as caught:
        to_bytes(Stubborn(), card(), weights_sha256="", gate=GATE)
    assert "plugin" in caught.value.hint[0]


def test_the_error_names_the_operation_that_onnx_lacks() -> None:
    class Bessel(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(images).flatten(1)[:, :3]

    with pytest.raises(WorkFailed, match=r"No ONNX function found for .*bessel_j0") as caught:
        to_bytes(Bessel(), card(), weights_sha256="", gate=GATE)
    assert "\x1b" not in caught.value.message


def test_probabilities_have_the_temperature_of_the_card_and_logits_are_raw(data: bytes) -> None:
    calibration = Calibration(temperature=2.5, sets={"0.9": 0.25}, images=120)
    scaled = to_bytes(network(), card(calibration=calibration), weights_sha256="ab", gate=GATE)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    model = onnx_session.from_bytes(scaled, "")
    logits, shares = model.outputs(images)
    assert np.array_equal(logits, onnx_session.from_bytes(data, "").logits(images))
    assert shares == pytest.approx(torch.from_numpy(logits / 2.5).softmax(1).numpy(), abs=1e-6)
    assert model.card.weights.calibration == calibration
    metadata = properties(onnx.load_model_from_string(scaled))
    assert (metadata["temperature"], json.loads(metadata["prediction_sets"])) == ("2.5", {"0.9": 0.25})
    assert compare(torch_predictor(network(), IMAGE, device=torch.device("cpu")), model, pool=images).problems == ()
