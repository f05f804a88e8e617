"""The features of a file are what its last layer reads, and its own bytes stay as they are."""

import base64

import numpy as np
import onnx
import pytest
from support.onnx_files import small_model
from support.trained import card

from resnetctl.deploy import onnx_features, onnx_session
from resnetctl.errors import WeightsError
from resnetctl.spec import Calibration, Familiar

FAMILIAR = Familiar(means=(base64.b64encode(bytes(64)).decode(),), limit=0.5, level=0.99)
KNOWING = card(calibration=Calibration(temperature=1.0, sets={}, images=120, familiar=FAMILIAR))
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_the_session_returns_what_the_last_layer_reads() -> None:
    model = onnx_session.from_bytes(small_model(KNOWING).SerializeToString(), "")
    logits, features = model.read(IMAGES)
    assert (model.features, model.width) == ("flat", 64)
    assert features == pytest.approx(IMAGES.reshape(5, 64) / np.float32(255))
    assert np.array_equal(logits, model.logits(IMAGES))


def test_a_card_that_knows_nothing_asks_for_no_features() -> None:
    assert onnx_session.from_bytes(small_model().SerializeToString(), "").features is None


def test_the_bytes_behind_a_file_add_one_output_of_any_name() -> None:
    model = small_model()
    for name in ("flat", "f" * 200):
        merged = onnx.load_from_string(model.SerializeToString() + onnx_features.as_output(name))
        assert [item.name for item in merged.graph.output] == ["logits", "probabilities", name]
        del merged.graph.output[-1]
        assert merged == model


def test_a_file_with_such_bytes_is_refused_itself() -> None:
    with pytest.raises(WeightsError, match="'graph' twice"):
        onnx_session.from_bytes(small_model().SerializeToString() + onnx_features.as_output("flat"), "")


def test_a_network_that_does_not_end_in_a_linear_layer_has_none() -> None:
    model = small_model()
    model.graph.node[1].output[0] = "before"
    model.graph.node.insert(2, onnx.helper.make_node("Identity", ["before"], ["logits"]))
    assert onnx_features.find(model.SerializeToString()) is None
