"""The exporter writes files that OpenVINO runs, twice the same bytes, and says what is missing without the package."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resnetctl_openvino.exporter import BIN, XML, openvino
from support.onnx_files import small_model
from support.trained import IMAGE, card

from resnetctl import registry
from resnetctl.deploy import onnx_session
from resnetctl.deploy.onnx_card import Input
from resnetctl.deploy.raw.writer import with_preprocessing
from resnetctl.errors import InputError
from resnetctl.exporting import Bundle
from resnetctl.testing import check_exporter


def bundle(input: Input) -> Bundle:
    data = small_model(card()).SerializeToString()
    onnx = data if input == "float" else with_preprocessing(data, IMAGE)
    return Bundle(card=card(), onnx=onnx, input=input, weights=Path("none"))


@pytest.mark.parametrize("input", ["float", "raw"])
def test_openvino_predicts_as_onnxruntime_and_the_files_are_the_same_twice(input: Input, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the package openvino is not installed")
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert openvino.write(bundle(input), tmp_path / name) == [tmp_path / name / XML, tmp_path / name / BIN]
        contents.append([(tmp_path / name / file).read_bytes() for file in (XML, BIN)])
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0][0]
    predict = openvino.open(tmp_path / "one")
    wanted = onnx_session.from_bytes(bundle(input).onnx, "").logits
    for shape in ((1, 8, 8, 1), (7, 8, 8, 1), *([(2, 31, 17, 3)] if input == "raw" else [])):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert predict(images) == pytest.approx(wanted(images), abs=1e-5)


def test_the_exporter_keeps_the_rules_of_exporters() -> None:
    pytest.importorskip("openvino", reason="the package openvino is not installed")
    findings = check_exporter(openvino)
    assert [one.status for one in findings] == ["ok"] * len(findings), findings


def test_without_the_package_the_error_says_what_to_install_and_rules_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="the package openvino cannot be used") as caught:
        openvino.write(bundle("float"), tmp_path)
    assert "pip install openvino" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    found: dict[str, Any] = {one.rule: one for one in check_exporter(openvino)}
    assert all(one.ok for one in found.values())
    assert {name for name, one in found.items() if one.status == "skipped"} == set(found) - {"signature"}
    assert registry.find("exporter", "openvino").distribution == "resnetctl-openvino"
