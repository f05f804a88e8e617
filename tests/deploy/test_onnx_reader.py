"""Hostile, damaged and foreign ONNX files: each refused with its reason, before onnxruntime sees a byte."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.onnx_files import (
    EXTERNAL,
    add_property,
    devices,
    external_initializer,
    foreign_node,
    foreign_opset,
    function,
    loop,
    small_model,
    sparse,
    training,
)
from support.trained import IMAGE, card

from resnetctl.deploy import onnx_reader as reader
from resnetctl.errors import WeightsError, WorkFailed

Change = Callable[[onnx.ModelProto], None]


def refused(change: Change, match: str) -> WeightsError:
    """The error for an unsealed model after `change`."""
    model = small_model(sealed=False)
    change(model)
    with pytest.raises(WeightsError, match=match) as caught:
        reader.from_bytes(model.SerializeToString(), "m.onnx")
    assert caught.value.where == "m.onnx"
    assert caught.value.exit_code == 3
    return caught.value


def test_a_good_file_runs() -> None:
    model = reader.from_bytes(small_model().SerializeToString(), "m.onnx")
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    weight = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    assert model.card.weights == card()
    assert model.logits(images) == pytest.approx((images.reshape(5, 64) / np.float32(255)) @ weight, abs=1e-4)
    assert model.outputs(images)[1].sum(axis=1) == pytest.approx(np.ones(5))


def test_a_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small_model().SerializeToString())
    assert reader.check(reader.read_bytes(path), "").weights.image == IMAGE


@pytest.mark.parametrize("change", EXTERNAL, ids=lambda change: change.__name__)
def test_external_data_is_refused_wherever_it_hides(change: Change) -> None:
    problems = refused(change, "refused").problems
    assert "external data: its weights lie in another file" in problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (loop, "control flow"),
        (foreign_node, "operators of the domain 'evil.example'"),
        (foreign_opset, "operators of the domain 'evil.example'"),
        (function, "functions"),
        (training, "training"),
        (sparse, "sparse"),
    ],
)
def test_what_a_residual_network_has_no_use_for(change: Change, problem: str) -> None:
    assert refused(change, "refused").problems[0].startswith(problem)


def test_a_field_that_no_plain_network_has() -> None:
    refused(devices, "not an ONNX file: ModelProto has no field 26")


def test_all_problems_at_once() -> None:
    def several(model: onnx.ModelProto) -> None:
        loop(model)
        foreign_opset(model)
        external_initializer(model)

    assert len(refused(several, "refused").problems) == 3


def nan_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = np.full((64, 3), np.nan, np.float32).tobytes()


def giant_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 10**12


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Conjure"


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "images"


def other_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9


def fewer_outputs(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def other_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def broken_card(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "{}"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (nan_weight, "NaN or infinity"),
        (giant_weight, "damaged"),
        (unknown_operator, "Conjure"),
        (other_input, "input must be 'pixel_values'"),
        (other_size, r"not float32 of \(batch, 1, 8, 8\)"),
        (fewer_outputs, "outputs 'logits' and 'probabilities'"),
        (other_type, "not float32"),
        (broken_card, "damaged"),
    ],
)
def test_damage(change: Change, match: str) -> None:
    refused(change, match)


def test_another_class_count_than_the_card() -> None:
    model = small_model(card(classes=("a", "b")))
    with pytest.raises(WeightsError, match="not float32 of"):
        reader.check(model.SerializeToString(), "")


def test_a_file_that_says_nothing_of_itself() -> None:
    error = refused(lambda model: model.ClearField("metadata_props"), "does not say its classes")
    assert error.hint[0] == "resnetctl export RUN --onnx"
    assert reader.CARD_KEY in error.hint[1]


def test_a_changed_weight_is_noticed() -> None:
    model = small_model()
    raw = bytearray(model.graph.initializer[0].raw_data)
    raw[0] ^= 1
    model.graph.initializer[0].raw_data = bytes(raw)
    with pytest.raises(WeightsError, match="damaged or changed") as caught:
        reader.check(model.SerializeToString(), "")
    assert reader.DIGEST_KEY in caught.value.hint[1]


def test_without_a_digest_there_is_nothing_to_compare() -> None:
    assert reader.check(small_model(sealed=False).SerializeToString(), "").gate == {}


def test_a_changed_class_name_is_noticed() -> None:
    data = small_model().SerializeToString()
    assert data.count(b"cow") == 1
    with pytest.raises(WeightsError, match="damaged or changed"):
        reader.check(data.replace(b"cow", b"cat"), "")


def test_flipped_bits_are_refused_or_change_nothing() -> None:
    """Only the digest's own name may be hit without a refusal; then there is none to compare."""
    data = small_model().SerializeToString()
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    whole = reader.from_bytes(data, "")
    chance = random.Random(0)
    survived = 0
    for _ in range(300):
        broken = bytearray(data)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            found = reader.from_bytes(bytes(broken), "")
        except WeightsError:
            continue
        survived += 1
        assert found.card == whole.card
        assert np.array_equal(found.logits(images), whole.logits(images))
    assert survived < 15


def test_a_cut_file_is_refused() -> None:
    data = small_model().SerializeToString()
    for end in range(0, len(data), 97):
        with pytest.raises(WeightsError):
            reader.check(data[:end], "")


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not onnx at all", b"PK\x03\x04" + b"0" * 50])
def test_no_onnx_at_all(data: bytes) -> None:
    with pytest.raises(WeightsError):
        reader.check(data, "")


def test_only_plain_files_of_a_sane_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "large.onnx").write_bytes(b"0" * 11)
    monkeypatch.setattr(reader, "MAX_BYTES", 10)
    for name, match in (
        ("pipe.onnx", "plain file"),
        ("large.onnx", "the limit is 10"),
        ("gone.onnx", "cannot be read"),
    ):
        with pytest.raises(WeightsError, match=match):
            reader.read_bytes(tmp_path / name)
    with pytest.raises(WeightsError, match="plain file"):
        reader.read_bytes(Path("/dev/zero"))


def test_a_failure_inside_onnxruntime() -> None:
    model = reader.from_bytes(small_model().SerializeToString(), "")
    with pytest.raises(WorkFailed, match="onnxruntime failed"):
        model.logits(np.zeros((1, 9, 9, 1), np.uint8))


def test_bytes_that_onnxruntime_could_take_for_its_own_format() -> None:
    """It looks at bytes 4 to 8 for `ORTM`; what was checked as ONNX has to be run as ONNX."""
    model = small_model(sealed=False)
    model.producer_name = "ORTM"
    data = model.SerializeToString()
    assert data[4:8] == b"ORTM"
    assert reader.from_bytes(data, "").logits(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 3)


def test_one_key_twice() -> None:
    refused(lambda model: add_property(model, reader.CARD_KEY, "{}"), "comes twice")


def test_reading_imports_neither_torch_nor_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small_model().SerializeToString())
    program = (
        "import sys; from pathlib import Path; from resnetctl.deploy import onnx_reader as onnx\n"
        "onnx.from_bytes(onnx.read_bytes(Path(sys.argv[1])), '')\n"
        "print(sorted({'torch', 'torchvision', 'onnx', 'onnxscript', 'google'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnxruntime_reports_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    """In a process of its own: it decides when it is imported."""
    path, home = tmp_path / "m.onnx", tmp_path / "home"
    path.write_bytes(small_model().SerializeToString())
    home.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from resnetctl.deploy import onnx_reader as onnx\n"
        "onnx.from_bytes(Path(sys.argv[1]).read_bytes(), 'm')\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    silent = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # each would hide what we forgot
    environment = {name: value for name, value in os.environ.items() if name not in silent} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
    assert list(home.rglob("*")) == []
