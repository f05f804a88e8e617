"""Fixtures of `export`: a dataset, a run that was trained on it, and a quick exporter."""

import json

import onnx
import pytest
from support.trained import card, make_run, make_store, network

from resnetctl import runs
from resnetctl.data.store import Store
from resnetctl.deploy import onnx_writer
from resnetctl.deploy.onnx_card import GATE_KEY


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    """A real export, done once for this module."""
    return onnx_writer.to_bytes(network(), card(), weights_sha256="", gate={"kind": "synthetic", "images": 74})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, model_bytes: bytes) -> None:
    """Skip torch's exporter: return the bytes of `network()` with the requested gate in the metadata."""

    def write(model: object, card: object, *, weights_sha256: str, gate: dict[str, object]) -> bytes:
        proto = onnx.load_model_from_string(model_bytes)
        properties = {item.key: item.value for item in proto.metadata_props}
        onnx.helper.set_model_props(proto, properties | {GATE_KEY: json.dumps(gate)})
        return onnx_writer.seal(proto)

    monkeypatch.setattr(onnx_writer, "to_bytes", write)


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def run(store: Store) -> runs.RunDir:
    return make_run(card(store))
