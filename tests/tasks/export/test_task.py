"""`export` checks onnxruntime against torch on real images, and writes a file only if they agree."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import __version__ as PILLOW
from support import exporters
from support.trained import card, make_run, network

from resnetctl import registry, runs
from resnetctl.data.store import Store
from resnetctl.deploy import onnx_writer, parity
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.raw import contract, resize, writer
from resnetctl.errors import CheckFailed, ResnetctlError, UsageError
from resnetctl.hints import Setting
from resnetctl.system import settings
from resnetctl.tasks.export import ExportReport, export
from resnetctl.weights.file import read_header, to_bytes

Mutation = Callable[[onnx.ModelProto], None]


def go(target: str | Path | None = None, **options: object) -> ExportReport:
    return export(target, settings=settings.load(), **options)


def test_export_writes_a_checked_file_into_the_run(run: runs.RunDir) -> None:
    report = go()
    data = run.onnx.read_bytes()
    assert (report.path, report.bytes, report.sha256) == (run.onnx, len(data), hashlib.sha256(data).hexdigest())
    assert report.parity.max_abs_diff <= report.parity.tolerance
    assert report.parity.agreement == 1.0
    onnx_card = check(data, "")
    assert onnx_card.weights.classes == ("ape", "bee", "cow")
    assert onnx_card.weights_sha256 == read_header(run.weights).sha256
    assert onnx_card.gate == {"kind": "real", "source": "zoo/val", "images": 18}


def test_the_json_document_describes_the_file_and_the_check(run: runs.RunDir, quick: None) -> None:
    document = json.loads(json.dumps(go().to_json()))
    assert document["schema"] == "resnetctl.export/1"
    assert document["batches"] == [1, 2, 7, 64]
    assert document["opset"] == 20
    assert document["gate"]["kind"] == "real"


def test_export_again_replaces_the_runs_own_file(run: runs.RunDir, quick: None) -> None:
    run.write_onnx(b"old")
    assert go().sha256 == hashlib.sha256(run.onnx.read_bytes()).hexdigest()


def test_a_weights_file_is_exported_beside_itself(machine: Path, quick: None) -> None:
    (machine / "net.safetensors").write_bytes(to_bytes(network().state_dict(), card()))
    assert go("net.safetensors", gate="synthetic").path == Path("net.onnx")
    assert (machine / "net.onnx").stat().st_mode & 0o777 == 0o666 & ~_umask()
    with pytest.raises(UsageError, match="exists"):
        go("net.safetensors", gate="synthetic")


def test_the_output_is_checked_before_the_work(run: runs.RunDir, machine: Path) -> None:
    (machine / "there.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        go(out="there.onnx")
    with pytest.raises(UsageError, match="missing or not writable"):
        go(out="no/such/folder.onnx")
    assert (machine / "there.onnx").read_bytes() == b"mine"


def test_a_run_that_cannot_be_written_is_refused_before_the_work(
    run: runs.RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnetctl.system.storage.os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot write") as caught:
        go()
    assert caught.value.hint == (Setting("out", "FILE", note="writes to another place"),)


def test_out_chooses_the_file(run: runs.RunDir, machine: Path, quick: None) -> None:
    assert go(out="here.onnx").path == Path("here.onnx")
    assert (machine / "here.onnx").is_file()
    assert not run.onnx.exists()


def test_an_onnx_file_cannot_be_exported(run: runs.RunDir) -> None:
    run.write_onnx(b"")
    with pytest.raises(UsageError, match="already"):
        go(run.onnx)


def scaled_weight(proto: onnx.ModelProto) -> None:
    kernel = next(item for item in proto.graph.initializer if item.name.endswith("layer2.0.conv1.weight"))
    values = onnx.numpy_helper.to_array(kernel).copy()
    values.flat[0] += 0.05
    kernel.raw_data = values.tobytes()


def swapped_mean(proto: onnx.ModelProto) -> None:
    mean = next(item for item in proto.graph.initializer if item.name == "mean")
    mean.raw_data = np.float32([0.5]).tobytes()


def no_relu(proto: onnx.ModelProto) -> None:
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "Identity"


def square_root(proto: onnx.ModelProto) -> None:
    """Replace a ReLU by a square root: negative numbers become NaN."""
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "Sqrt"


@pytest.mark.parametrize("mutate", [scaled_weight, swapped_mean, no_relu, square_root])
def test_a_graph_that_disagrees_with_torch_is_not_written(
    run: runs.RunDir, model_bytes: bytes, mutate: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> bytes:
        proto = onnx.load_model_from_string(model_bytes)
        mutate(proto)
        return onnx_writer.seal(proto)

    monkeypatch.setattr(onnx_writer, "to_bytes", wrong)
    with pytest.raises(CheckFailed, match="does not agree") as caught:
        go()
    assert caught.value.exit_code == 5
    assert caught.value.problems
    assert not run.onnx.exists()
    assert not list(run.path.rglob("*.onnx"))


def test_a_raw_file_is_written_beside_the_other(run: runs.RunDir, quick: None) -> None:
    report = go(input="raw")
    assert report.path == run.raw_onnx != run.onnx
    assert report.to_json()["input"] == "raw"
    assert report.parity.agreement == 1.0
    onnx_card = check(run.raw_onnx.read_bytes(), "")
    assert (onnx_card.input, onnx_card.weights_sha256) == ("raw", "")
    expected = {"kind": "real", "source": "zoo/val", "originals": 0, "images": 18, "made_up": 30, "pillow": PILLOW}
    assert onnx_card.gate == report.gate == expected


def test_a_raw_file_of_a_weights_file_has_its_own_name(machine: Path, quick: None) -> None:
    (machine / "net.safetensors").write_bytes(to_bytes(network().state_dict(), card()))
    assert go("net.safetensors", gate="synthetic", input="raw").path == Path("net-raw.onnx")


def test_two_folders_get_the_same_raw_bytes(run: runs.RunDir, machine: Path, quick: None) -> None:
    for folder in ("one", "two"):
        (machine / folder).mkdir()
        go(input="raw", out=machine / folder / "m.onnx")
    assert (machine / "one" / "m.onnx").read_bytes() == (machine / "two" / "m.onnx").read_bytes()


def constant_changed(kind: str, place: int) -> Mutation:
    """Return a change of one number of the preprocessing: of the `place`-th constant of a type."""

    def change(proto: onnx.ModelProto) -> None:
        own = [item for item in proto.graph.initializer if item.name.startswith("prep/")]
        tensor = [item for item in own if onnx.numpy_helper.to_array(item).dtype == kind][place]
        array = onnx.numpy_helper.to_array(tensor).copy()
        array.flat[-1] += 1
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))

    return change


@pytest.mark.parametrize(
    ("kind", "place"), [("float64", 0), ("float64", 3), ("float32", 0), ("float32", -1), ("int64", 2)]
)
def test_a_changed_number_of_the_preprocessing_is_caught_and_named(
    run: runs.RunDir, monkeypatch: pytest.MonkeyPatch, quick: None, kind: str, place: int
) -> None:
    honest = writer.with_preprocessing

    def wrong(data: bytes, image: object) -> bytes:
        proto = onnx.load_model_from_string(honest(data, image))
        constant_changed(kind, place)(proto)
        return onnx_writer.seal(proto)

    monkeypatch.setattr(writer, "with_preprocessing", wrong)
    with pytest.raises(CheckFailed, match="prepares images in another way") as caught:
        go(input="raw")
    assert caught.value.exit_code == 5
    assert "the constant 'prep/constant_" in caught.value.problems[0]
    assert "of the operator 'prep/" in caught.value.problems[0]
    assert not list(run.path.rglob("*.onnx"))


def test_a_wrong_formula_is_caught_by_the_pixels(
    run: runs.RunDir, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """The reader builds the same wrong graph, so only the gate on pixels can see it."""
    monkeypatch.setattr(resize, "BITS", 9)  # of the weights: less exact than Pillow's
    contract.preprocessing.cache_clear()
    try:
        with pytest.raises(CheckFailed) as caught:
            go(input="raw")
    finally:
        contract.preprocessing.cache_clear()
    assert "values of 64 differ" in caught.value.problems[0]
    assert not run.raw_onnx.exists()


def test_an_exporter_writes_a_checked_folder_into_the_run(run: runs.RunDir, quick: None) -> None:
    report = go(to="triton")
    assert report.path == run.path / "export" / "triton"
    assert report.files == ("1/model.onnx", "config.pbtxt", "labels.txt")
    assert report.parity is not None
    assert report.parity.agreement == 1.0
    document = json.loads((report.path / "resnetctl.json").read_text())
    assert (document["checked"], document["gate"]["source"], document["input"]) == (True, "zoo/val", "float")
    assert report.to_json()["exporter"] == "triton"
    with pytest.raises(UsageError, match="exists"):
        go(to="triton")


def test_an_exporter_gets_a_raw_file_if_asked(run: runs.RunDir, machine: Path, quick: None) -> None:
    report = go(to="triton", input="raw", out=machine / "pets")
    assert "TYPE_UINT8" in (machine / "pets" / "config.pbtxt").read_text()
    assert report.gate["made_up"] == 30


def test_a_single_file_gets_the_name_that_ends_like_it(
    run: runs.RunDir, machine: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    entry = registry.Entry(kind="exporter", name="single", value="x:y", distribution="mine", version="1")
    monkeypatch.setattr(registry, "find", lambda kind, name: entry)
    with registry.overlay("exporter", single=exporters.Single()):
        report = go(to="single", out=machine / "pets.page")
        assert (report.path.is_file(), report.files) == (True, ("pets.page",))
        assert report.sha256 == hashlib.sha256(report.path.read_bytes()).hexdigest()
        folder = go(to="single", out=machine / "pets")
        assert (folder.path / "index.page").read_bytes() == report.path.read_bytes()
        assert go(to="single", out=machine / "unchecked.page", gate="none").path.is_dir()  # it must say so
        with pytest.raises(UsageError, match="exists"):
            go(to="single", out=machine / "pets.page")


def test_a_lying_exporter_leaves_nothing(run: runs.RunDir, quick: None) -> None:
    with registry.overlay("exporter", liar=exporters.WrongLogits()), pytest.raises(CheckFailed) as caught:
        go(to="liar")
    assert caught.value.exit_code == 5
    assert not (run.path / "export").exists() or not any((run.path / "export").iterdir())


def test_an_unchecked_export_says_so(run: runs.RunDir, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    entry = registry.Entry(kind="exporter", name="blind", value="x:y", distribution="mine", version="1")
    monkeypatch.setattr(registry, "find", lambda kind, name: entry)
    with registry.overlay("exporter", blind=exporters.Blind()):
        with pytest.raises(UsageError, match="cannot open its files"):
            go(to="blind")
        report = go(to="blind", gate="none")
    assert (report.parity, report.gate) == (None, {"kind": "none", "images": 0})
    assert json.loads((report.path / "resnetctl.json").read_text())["checked"] is False
    assert report.to_json()["max_abs_diff"] is None


@pytest.mark.parametrize("to", ["triton", "hub"])
def test_an_existing_folder_is_refused_before_the_work_and_stays_as_it_is(
    run: runs.RunDir, machine: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setattr(onnx_writer, "to_bytes", lambda *_, **__: pytest.fail("the work began"))
    (machine / "mine").mkdir()
    (machine / "mine" / "notes.txt").write_text("keep")
    (machine / "link").symlink_to("nowhere")
    for name in ("mine", "mine/notes.txt", "link"):
        with pytest.raises(UsageError, match="exists") as caught:
            go(to=to, out=machine / name)
        assert caught.value.exit_code == 2
    assert [path.name for path in (machine / "mine").iterdir()] == ["notes.txt"]
    assert (machine / "link").is_symlink()


@pytest.mark.parametrize(
    "liar",
    [exporters.NaNs, exporters.Doubles, exporters.Hider, exporters.Linker, exporters.Raiser, exporters.FromMemory],
)
def test_an_exporter_that_breaks_its_contract_leaves_nothing(
    run: runs.RunDir, machine: Path, monkeypatch: pytest.MonkeyPatch, quick: None, liar: type[exporters.Honest]
) -> None:
    entry = registry.Entry(kind="exporter", name="liar", value="x:y", distribution="mine", version="1")
    monkeypatch.setattr("resnetctl.registry.loading.find", lambda kind, name: entry)
    monkeypatch.setattr("resnetctl.registry.loading.distribution_of", lambda kind, name: "mine")
    before = sorted(machine.rglob("*"))
    with registry.overlay("exporter", liar=liar()), pytest.raises(ResnetctlError) as caught:
        go(to="liar", out=machine / "out")
    assert caught.value.exit_code in (4, 5)
    assert sorted(machine.rglob("*")) == before


def test_an_honest_exporter_gives_the_same_folder_twice(
    run: runs.RunDir, machine: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    entry = registry.Entry(kind="exporter", name="honest", value="x:y", distribution="mine", version="1")
    monkeypatch.setattr(registry, "find", lambda kind, name: entry)
    with registry.overlay("exporter", honest=exporters.Honest()):
        first, second = (go(to="honest", out=machine / name) for name in ("one", "two"))
    assert first.files == second.files == ("inside/model.onnx",)
    assert first.parity is not None
    assert first.parity.agreement == 1.0
    for name in ("inside/model.onnx", "resnetctl.json"):
        assert (machine / "one" / name).read_bytes() == (machine / "two" / name).read_bytes()


def test_an_unknown_exporter_and_an_unchecked_onnx_file_are_refused(run: runs.RunDir) -> None:
    with pytest.raises(UsageError, match="no exporter"):
        go(to="trition")
    with pytest.raises(UsageError, match="always checked"):
        go(gate="none")


def test_what_a_file_cannot_prepare_is_refused_before_the_work(store: Store) -> None:
    nearest = dataclasses.replace(card(store).image, interpolation="nearest")
    make_run(card(store, image=nearest))
    with pytest.raises(UsageError, match="this network needs 1 by nearest") as caught:
        go(input="raw")
    assert caught.value.hint == (Setting("input", "float"),)
    with pytest.raises(UsageError, match="is no input"):
        go(input="cooked")


def test_a_failed_check_keeps_the_older_file(run: runs.RunDir, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    run.write_onnx(b"older")
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(CheckFailed):
        go()
    assert run.onnx.read_bytes() == b"older"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
