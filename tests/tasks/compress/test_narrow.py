"""A network with fewer channels is a network like any other: measured, exported, trained, resumed, cut again."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.compressed import WIDE, make_deep_run

import resnetctl as rc
from resnetctl import runs
from resnetctl.deploy.onnx_checks import check
from resnetctl.models.resnet import ResNet
from resnetctl.system import settings
from resnetctl.tasks.compress import variants
from resnetctl.tasks.evaluate import evaluate
from resnetctl.weights.file import load_model, read_card

BLOCKED = """
import builtins, pickle, sys
def no(*_, **__): raise SystemExit("pickle is used")
pickle.load = pickle.loads = pickle.Unpickler = no
import torch
torch.load = no
import resnetctl as rc
net, card = rc.load(sys.argv[1])
print(sum(parameter.numel() for parameter in net.parameters()), net(torch.zeros(1, 1, 8, 8)).sum().item())
"""


@pytest.fixture(autouse=True)
def run(monkeypatch: pytest.MonkeyPatch) -> runs.RunDir:
    """A run of two stages with 32 and 64 channels."""
    return make_deep_run(monkeypatch, arch=WIDE)


@pytest.fixture
def small() -> Path:
    """The run with half of the channels, trained for an epoch."""
    report = rc.compress("first", channels=0.5, finetune="1epoch", name="small", progress=False)
    assert set(report.cut.widths.values()) == {(32, 16), (64, 32)}
    assert report.run is not None
    return report.run


def test_no_block_is_weighed_when_channels_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "importance", lambda *_, **__: pytest.fail("a pass for each block"))
    assert rc.compress("first", channels=0.5, out="half.safetensors").cut.removed == {}


def test_it_is_measured_and_exported_with_the_same_counts(small: Path) -> None:
    measured = evaluate(small, settings=settings.load(), split="val").report
    assert measured.count == 18
    exported = rc.export(small).path
    again = evaluate(exported, settings=settings.load(), split="val").report
    assert again.confusion == measured.confusion
    assert check(exported.read_bytes(), str(exported)).weights.arch.name == "tiny-channels"
    assert exported.stat().st_size < 0.75 * rc.export("first").path.stat().st_size


def test_it_opens_in_a_process_without_pickle(small: Path) -> None:
    net, _ = load_model(small / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(small / "model.safetensors")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    params, total = done.stdout.split()
    assert int(params) == sum(parameter.numel() for parameter in net.parameters())
    assert float(total) == pytest.approx(net(torch.zeros(1, 1, 8, 8)).sum().item())


def test_it_trains_on_and_resumes_to_the_same_bytes(small: Path) -> None:
    whole = rc.resume(small, epochs=3, progress=False)
    assert read_card(whole.path / "model.safetensors").channels == read_card(small / "model.safetensors").channels
    rc.finetune(small, data="zoo", epochs=1, name="more", progress=False)
    rc.resume("more", epochs=2, progress=False)
    more = load_model(settings.load().runs_dir / "more" / "model.safetensors")[0]
    assert more.get_submodule("layer2.1.conv1").out_channels == 32  # type: ignore[union-attr]


def test_it_is_cut_again_by_blocks_and_by_channels(small: Path) -> None:
    report = rc.compress(small, keep_blocks=[1, 1], name="less", progress=False)
    assert read_card(report.path).arch.name == "tiny-blocks-1-1-channels"
    assert read_card(report.path).channels["layer2.0.conv1"] == (32, 32, 1)
    again = rc.compress(small, channels=0.5, out="least.safetensors")
    assert set(again.cut.widths.values()) == {(32, 16)}
    assert evaluate("least.safetensors", settings=settings.load(), split="val").report.count == 18


def test_its_features_can_be_taken_and_its_head_replaced(small: Path) -> None:
    features = rc.backbone(small)(torch.zeros(1, 1, 8, 8))
    assert [item.shape[1] for item in features.values()] == [32, 64]
    net: ResNet = load_model(small / "model.safetensors")[0]
    assert net.channels
