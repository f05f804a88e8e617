"""int8 is made of the checked float32 file, calibrated on train, and checked on val."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.trained import card, make_store, network

from resnetctl import runs
from resnetctl.compress import int8 as int8_room
from resnetctl.data.store import Store
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.engine.metrics import probabilities
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError
from resnetctl.spec import Calibration
from resnetctl.system import settings
from resnetctl.system.machine import has_vnni
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import ExportReport, export
from resnetctl.tasks.export.int8 import asked
from resnetctl.weights.file import to_bytes


def go(target: str | Path | None = None, **options: object) -> ExportReport:
    return export(target, settings=settings.load(), **options)


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timing: int8 is twice as fast."""
    same = Spread(median=2.0, low=2.0, high=2.0, n=3)
    monkeypatch.setattr(int8_room, "speedups", lambda base, others, images: {name: {1: same} for name in others})


def test_int8_is_a_second_file_of_the_run_that_the_reader_takes(run: runs.RunDir, quick: None, even: None) -> None:
    report = go(int8={"calibrate": 30, "max_drop": 100})
    assert report.path == run.int8_onnx
    assert not run.onnx.exists()
    assert report.int8 is not None
    gate = check(run.int8_onnx.read_bytes(), "").gate
    assert gate["int8"] == {"calibration": 30, "data": "zoo", "float_layers": [], "reduce_range": not has_vnni()}
    assert gate["source"] == "zoo/val"
    assert report.to_json()["int8"]["gap"]["count"] == 18
    again = go(int8={"calibrate": 30, "max_drop": 100})
    assert again.sha256 == report.sha256
    assert evaluate(run.int8_onnx, settings=settings.load(), split="val").report.top1 == report.int8.gap.after


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"int8": {"calibrate": 500}}, DataError),
        ({"int8": {}, "gate": "synthetic"}, UsageError),
        ({"int8": {}, "gate": "none"}, UsageError),
        ({"data": "nowhere", "int8": {}}, DataError),
        ({"int8": {"calibrate": 30, "max_drop": -100}}, CheckFailed),
    ],
)
def test_int8_that_cannot_be_made_leaves_no_file(
    run: runs.RunDir, quick: None, even: None, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        go(**options)
    assert not run.int8_onnx.exists()


def test_int8_needs_a_dataset_with_the_classes_of_the_network(quick: None, even: None, store: Store) -> None:
    Path("net.safetensors").write_bytes(to_bytes(network().state_dict(), card()))
    with pytest.raises(InputError, match="name no dataset to calibrate and check on"):
        go("net.safetensors", int8={})
    make_store(name="other", classes=("ape", "bee", "dog"))
    with pytest.raises(DataError, match="the classes of 'other' are not those of the network"):
        go("net.safetensors", data="other", int8={})
    report = go("net.safetensors", data="zoo", int8={"calibrate": 30, "max_drop": 100})
    assert report.path == Path("net-int8.onnx")


def test_a_slower_file_that_was_allowed_gets_a_notice(
    run: runs.RunDir, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Spread(median=0.5, low=0.4, high=0.6, n=3)
    monkeypatch.setattr(int8_room, "speedups", lambda base, others, images: {name: {64: slow} for name in others})
    with pytest.raises(CheckFailed, match="slower"):
        go(int8={"calibrate": 30, "max_drop": 100})
    report = go(int8={"calibrate": 30, "max_drop": 100, "allow_slower": True})
    assert "slower than float32 on this machine: batch of 64: 0.50" in report.notices[0]


@pytest.mark.parametrize("form", [{"input": "raw"}, {"to": "triton"}])
def test_int8_goes_with_a_float_onnx_file_only(run: runs.RunDir, form: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="for ONNX files with float input only") as caught:
        go(int8={}, **form)
    assert caught.value.exit_code == 2
    assert not (run.path / "export").exists()


def test_the_ranges_need_an_image(run: runs.RunDir) -> None:
    with pytest.raises(UsageError, match="int8 needs images"):
        go(int8={"calibrate": 0})


def test_the_temperature_divides_the_logits_of_int8_in_float32(run: runs.RunDir, store: Store, even: None) -> None:
    calibration = Calibration(temperature=3.0, sets={"0.9": 0.2}, images=18)
    run.save_weights(to_bytes(network().state_dict(), card(store, calibration=calibration)))
    go(int8={"calibrate": 30, "max_drop": 100})
    data = run.int8_onnx.read_bytes()
    logits, chances = from_bytes(data, "int8").outputs(
        np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)
    )
    assert chances == pytest.approx(probabilities(logits, temperature=3.0), abs=1e-6)
    graph = onnx.load_model_from_string(data).graph
    (division,) = [node for node in graph.node if "logits" in node.input and node.op_type != "Softmax"]
    (softmax,) = [node for node in graph.node if node.op_type == "Softmax"]
    assert (division.op_type, list(division.output)) == ("Div", list(softmax.input))


def test_settings_without_int8_and_unknown_ones_are_refused() -> None:
    assert asked() is asked(int8=False) is None
    assert asked(int8=True, max_drop=1.0) == {"max_drop": 1.0}
    with pytest.raises(UsageError, match="max_drop needs int8"):
        asked(max_drop=1.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop'"):
        asked(drop=1.0)  # type: ignore[call-arg]
