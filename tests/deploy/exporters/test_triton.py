"""A Triton model describes its own ONNX file, and every difference is found."""

from pathlib import Path

import numpy as np
import pytest
from support.onnx_files import small_model
from support.raw_files import raw_file
from support.trained import IMAGE, card

from resnetctl.deploy.exporters.pbtxt import parse
from resnetctl.deploy.exporters.triton import labels, triton
from resnetctl.errors import CheckFailed, WeightsError
from resnetctl.exporting import Bundle

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


def written(folder: Path, input: str = "float") -> Path:
    onnx = raw_file() if input == "raw" else small_model().SerializeToString()
    triton.write(Bundle(card=card(), onnx=onnx, input=input, weights=Path("none")), folder)
    return folder


def test_the_files_of_a_model_repository_are_written(tmp_path: Path) -> None:
    written(tmp_path)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["1/model.onnx", "config.pbtxt", "labels.txt"]
    assert (tmp_path / "labels.txt").read_text() == "ape\nbee\ncow\n"


@pytest.mark.parametrize(
    ("input", "first"),
    [
        ("float", [("name", "pixel_values"), ("data_type", "TYPE_FP32"), ("dims", [1, 8, 8])]),
        ("raw", [("name", "image"), ("data_type", "TYPE_UINT8"), ("dims", [-1, -1, -1])]),
    ],
)
def test_the_configuration_states_the_interface(tmp_path: Path, input: str, first: list[tuple[str, object]]) -> None:
    fields = dict(parse((written(tmp_path, input) / "config.pbtxt").read_text()))
    assert (fields["backend"], fields["max_batch_size"], fields["input"]) == ("onnxruntime", 64, first)
    assert triton.open(tmp_path)(IMAGES).shape == (3, 3)


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("dims: [1, 8, 8]", "dims: [8, 8, 1]", "dims: [1, 8, 8]"),
        ("TYPE_FP32", "TYPE_FP16", "TYPE_FP32"),
        ('"pixel_values"', '"pixels"', '"pixel_values"'),
        ("dims: [3]", "dims: [4]", "dims: [3]"),
        ("max_batch_size: 64", "max_batch_size: 0", "max_batch_size: 64"),
        ("}", "", "cannot be read"),
    ],
)
def test_a_changed_configuration_is_caught(tmp_path: Path, old: str, new: str, seen: str) -> None:
    path = written(tmp_path) / "config.pbtxt"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(CheckFailed, match="does not describe the model") as caught:
        triton.open(tmp_path)
    assert any(seen in problem for problem in caught.value.problems)


def test_other_labels_are_caught(tmp_path: Path) -> None:
    (written(tmp_path) / "labels.txt").write_text("ape\ncow\nbee\n")
    with pytest.raises(CheckFailed) as caught:
        triton.open(tmp_path)
    assert caught.value.problems == ("labels.txt has other classes than the model",)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (written(tmp_path) / "1" / "model.onnx").unlink()
    with pytest.raises(WeightsError):
        triton.open(tmp_path)


def test_a_class_name_stays_on_its_line() -> None:
    names = ["a\nb", "c\\nd", "\u202eright to left", "</script>", '"quoted"', "x" * 10_000, "two\r\nlines"]
    lines = labels(names).split("\n")
    assert lines == ["a\\nb", "c\\\\nd", *names[2:6], "two\\r\\nlines", ""]


def test_the_configuration_is_read_by_tritons_own_protobuf(tmp_path: Path) -> None:
    service = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    text = (written(tmp_path) / "config.pbtxt").read_text()
    config = text_format.Parse(text, service.ModelConfig())
    assert [*config.input[0].dims] == [IMAGE.channels, IMAGE.size, IMAGE.size]
    assert [item.name for item in config.output] == ["logits", "probabilities"]
