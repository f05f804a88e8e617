"""The preprocessing is put before the network, whose operators and numbers stay as they are."""

import onnx
from support.onnx_files import small_model
from support.raw_files import raw_file
from support.trained import IMAGE

from resnetctl.deploy.onnx_card import CONTRACT_KEY
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.raw.contract import preprocessing
from resnetctl.deploy.raw.writer import preprocessing_alone


def test_the_network_is_not_touched() -> None:
    plain, raw = small_model(), onnx.load_model_from_string(raw_file())
    count = len(preprocessing(IMAGE).steps)
    assert [*raw.graph.node[count:]] == [*plain.graph.node]
    assert raw.graph.initializer[0] == plain.graph.initializer[0]
    assert [*raw.graph.output] == [*plain.graph.output]


def test_the_file_is_valid_for_the_onnx_package() -> None:
    onnx.checker.check_model(onnx.load_model_from_string(raw_file()), full_check=True)


def test_the_metadata_state_the_contract() -> None:
    raw = onnx.load_model_from_string(raw_file())
    properties = {item.key: item.value for item in raw.metadata_props}
    assert (properties[CONTRACT_KEY], properties["input_range"]) == ("raw/1", "[0, 255]")
    assert check(raw_file(), "").input == "raw"


def test_the_same_file_has_the_same_bytes() -> None:
    assert raw_file() == raw_file()


def test_the_preprocessing_alone_keeps_the_numbers_of_the_file() -> None:
    raw = onnx.load_model_from_string(raw_file())
    changed = next(item for item in raw.graph.initializer if item.name == "prep/constant_1")
    changed.raw_data = b"\x07" + changed.raw_data[1:]
    alone = onnx.load_model_from_string(preprocessing_alone(raw.SerializeToString(), IMAGE))
    assert [item.name for item in alone.graph.output] == ["pixel_values"]
    assert next(item for item in alone.graph.initializer if item.name == changed.name) == changed
    assert not any(item.name == "weight" for item in alone.graph.initializer)
