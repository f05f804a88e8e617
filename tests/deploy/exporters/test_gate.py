"""The core lets an exporter write, opens what it wrote, and stops exporters that lie."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import exporters
from support.onnx_files import small_model
from support.trained import card

from resnetctl import registry
from resnetctl.deploy import onnx_session
from resnetctl.deploy.exporters import gate
from resnetctl.deploy.parity import Parity, in_batches
from resnetctl.errors import CheckFailed, PluginError, UsageError
from resnetctl.exporting import Bundle
from resnetctl.hints import Setting

Go = Callable[[Any], Parity]
DATA = small_model().SerializeToString()
BUNDLE = Bundle(card=card(), onnx=DATA, input="float", weights=Path("none"))
POOL = np.random.default_rng(0).integers(0, 256, (74, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Fill a folder with an exporter and check it against the logits of the ONNX file."""
    point = registry.Entry(kind="exporter", name="x", value="mine:x", distribution="mine", version="1.2")

    def run(exporter: Any) -> Parity:
        folder = tmp_path / "out"
        folder.mkdir()
        monkeypatch.setattr(registry, "get", lambda kind, name: exporter)
        monkeypatch.setattr("resnetctl.registry.loading.find", lambda kind, name: point)
        monkeypatch.setattr("resnetctl.registry.loading.distribution_of", lambda kind, name: "mine")
        gate.fill("x", BUNDLE, folder=folder)
        reference = onnx_session.from_bytes(DATA, "").logits
        return gate.check("x", folder, reference=reference, batches=in_batches(POOL), classes=3)

    return run


def test_an_honest_exporter_passes(go: Go) -> None:
    parity = go(exporters.Honest())
    assert (parity.max_abs_diff < 1e-6, parity.agreement, parity.problems) == (True, 1.0, ())


@pytest.mark.parametrize("liar", [exporters.WrongLogits, exporters.NaNs])
def test_other_predictions_are_stopped(go: Go, liar: type) -> None:
    with pytest.raises(CheckFailed, match="do not agree with torch") as caught:
        go(liar())
    assert caught.value.problems


def test_predictions_from_memory_are_stopped(go: Go) -> None:
    with pytest.raises(CheckFailed, match="does not read the files"):
        go(exporters.FromMemory())


def test_an_exporter_that_cannot_open_needs_no_gate(go: Go) -> None:
    with pytest.raises(UsageError, match="cannot open its files") as caught:
        go(exporters.Blind())
    assert caught.value.hint == (Setting("gate", "none", "writes them unchecked, and they say so"),)


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (exporters.Doubles, "it predicts float64"),
        (exporters.Hider, "it wrote 2 files and lists 1"),
        (exporters.Linker, "it wrote a link"),
        (exporters.Raiser, "RuntimeError: disk of my own"),
    ],
)
def test_a_broken_exporter_is_named(go: Go, broken: type, seen: str) -> None:
    with pytest.raises(PluginError, match=seen) as caught:
        go(broken())
    assert "of mine 1.2" in caught.value.message


def test_the_folder_describes_itself(tmp_path: Path) -> None:
    registry.get("exporter", "triton").write(BUNDLE, tmp_path)
    before = gate.digest(tmp_path)
    gate.describe("triton", BUNDLE, folder=tmp_path, gate={"kind": "none"})
    document = json.loads((tmp_path / gate.ABOUT).read_text())
    assert document["checked"] is False
    assert document["exporter"]["name"] == "triton"
    assert set(document["files"]) == {"1/model.onnx", "config.pbtxt", "labels.txt"}
    assert document["card"] == json.loads(json.dumps(card().to_json()))
    assert gate.digest(tmp_path) != before


class Foreign(exporters.Honest):
    """List a file that it did not write."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        return [*super().write(bundle, folder), folder / "other"]


class Idle(exporters.Honest):
    """Write nothing."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        return []


class Narrow(exporters.Honest):
    """Predict for the first image only."""

    def open(self, folder: Path) -> Any:
        honest = super().open(folder)
        return lambda images: honest(images)[:1]


class Crashes(exporters.Honest):
    """Fail when it predicts."""

    def open(self, folder: Path) -> Any:
        super().open(folder)

        def predict(images: Any) -> Any:
            raise KeyError("images")

        return predict


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (Foreign, "it wrote 1 file and lists 2"),
        (Idle, "it wrote 0 files and lists 0"),
        (Narrow, r"it predicts float32 \(1, 3\), not float32 \(2, 3\)"),
        (Crashes, "KeyError: 'images'"),
    ],
)
def test_what_an_exporter_claims_is_counted(go: Go, broken: type, seen: str) -> None:
    with pytest.raises(PluginError, match=seen):
        go(broken())


def test_relative_and_repeated_paths_are_the_files_too(tmp_path: Path) -> None:
    class Relative(exporters.Honest):
        def write(self, bundle: Any, folder: Path) -> list[Path]:
            return [Path("inside/model.onnx"), *super().write(bundle, folder)]

    with registry.overlay("exporter", x=Relative()):
        assert gate.fill("x", BUNDLE, folder=tmp_path) == [Path("inside/model.onnx")]


def test_a_digest_follows_names_and_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, name in ((one, "a"), (other, "b")):
        folder.mkdir()
        (folder / name).write_bytes(b"same")
    assert gate.digest(one) != gate.digest(other)
    (other / "b").rename(other / "a")
    assert gate.digest(one) == gate.digest(other)
    (other / "a").write_bytes(b"more")
    assert gate.digest(one) != gate.digest(other)


@pytest.mark.parametrize(("kind", "is_checked"), [("none", False), ("val", True), ("synthetic", True)])
def test_a_folder_says_whether_it_was_checked(tmp_path: Path, kind: str, is_checked: bool) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"abc")
    gate.describe("triton", BUNDLE, folder=tmp_path, gate={"kind": kind, "images": 3})
    document = json.loads((tmp_path / gate.ABOUT).read_text())
    assert (document["checked"], document["gate"], document["input"]) == (
        is_checked,
        {"kind": kind, "images": 3},
        "float",
    )
    assert document["files"] == {"sub/file": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
