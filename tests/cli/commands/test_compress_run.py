"""`compress` from the command line on a real network, with real exports and real timing."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.trained import ARCH, card, make_run, make_store

from resnetctl import runs
from resnetctl.compress import latency
from resnetctl.models.resnet import build
from resnetctl.spec import Calibration, Plugins
from resnetctl.weights.file import read_card, to_bytes

Cli = Callable[..., Any]
DEEP = dataclasses.replace(ARCH, depths=(4, 4))
UNEVEN = dataclasses.replace(ARCH, depths=(6, 1))  # fewer files to export
NARROW = dataclasses.replace(ARCH, depths=(1, 1))
WITHOUT_PICKLE = """
import pickle, sys
import torch

def refuse(*_, **__):
    raise AssertionError("a pickle was read")

pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse
from resnetctl.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def deep_run(name: str = "deep", **changes: Any) -> runs.RunDir:
    """Return a run of eight blocks, with a calibration and a teacher in its card."""
    torch.manual_seed(2)
    arch = changes.pop("arch", DEEP)
    network = build(arch, classes=3, image=card().image).eval()
    described = card(make_store(), arch=arch, **changes)
    folder = make_run(dataclasses.replace(described, arch=ARCH, plugins=Plugins()), name=name)
    folder.save_weights(to_bytes(network.state_dict(), described))
    return folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for a moment only."""
    monkeypatch.setattr(latency, "SAMPLE", 0.004)


def test_a_speed_up_is_measured_and_the_file_works_in_every_other_verb(cli: Cli, short: None) -> None:
    deep_run(arch=UNEVEN)
    result = cli("compress", "deep", "--speedup", "1.05", "--out", "new/small.safetensors", "--json")
    assert result.code == 0, result.err
    document = result.json()
    assert document["speedup"]["1"]["median"] >= 1.05
    assert document["speedup"]["1"]["n"] >= 3
    assert set(document["speedup"]) == {"1", "64"}
    assert sum(document["after"]) < sum(document["before"]) == 7
    assert len(document["removed"]) == 7 - sum(document["after"])
    assert document["table"]["whole"] > max(document["table"]["blocks"]) >= 0
    assert [item.name for item in Path("new").iterdir()] == ["small.safetensors"]

    counted = cli("eval", "new/small.safetensors", "--split", "val", "--json").json()
    assert (counted["count"], counted["top1"]) == (
        document["accuracy"][1]["count"], pytest.approx(document["accuracy"][1]["top1"]),
    )  # fmt: skip
    exported = cli("export", "new/small.safetensors", "--onnx", "--json").json()
    assert exported["agreement"] == 1.0
    by_onnx = cli("eval", "new/small.onnx", "--split", "val", "--json").json()
    assert (by_onnx["count"], by_onnx["correct"]) == (counted["count"], counted["correct"])

    line = [sys.executable, "-c", WITHOUT_PICKLE, "eval", "new/small.safetensors", "--split", "val", "--json"]
    fresh = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads(fresh.stdout)["correct"] == counted["correct"]


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither export nor time."""
    monkeypatch.setattr("resnetctl.tasks.compress.variants.Variants._opened", lambda *_, **__: (None, 1))
    monkeypatch.setattr("resnetctl.tasks.compress.variants.speedups", lambda *_, **__: {"smaller": {}})


@pytest.mark.parametrize("keep", ["5,4", "0,4", "-1,4", "4", "4,4,4", "4,4"])
def test_blocks_that_the_network_does_not_have_are_exit_2(cli: Cli, untimed: None, keep: str) -> None:
    deep_run()
    result = cli("compress", "deep", f"--keep-blocks={keep}", "--out", "small.safetensors")
    assert (result.code, Path("small.safetensors").exists()) == (2, False)
    assert "4,4" in result.err
    assert "--keep-blocks" in result.err


@pytest.mark.parametrize("value", ["nan", "1", "-3", "fast"])
def test_a_speed_up_is_a_number_above_1(cli: Cli, untimed: None, value: str) -> None:
    deep_run()
    result = cli("compress", "deep", f"--speedup={value}", "--out", "small.safetensors")
    assert result.code == 2
    assert "--speedup" in result.err


def test_a_network_of_one_block_a_stage_has_none_to_spare(cli: Cli, untimed: None) -> None:
    deep_run(arch=NARROW)
    result = cli("compress", "deep", "--speedup", "1.1", "--out", "small.safetensors")
    assert result.code == 2
    assert "every stage of the network has one block" in result.err


def test_broken_weights_are_exit_3_before_any_work(cli: Cli, untimed: None) -> None:
    folder = deep_run()
    state = build(DEEP, classes=3, image=card().image).state_dict()
    state["layer1.1.conv1.weight"][0, 0, 0, 0] = float("nan")
    folder.save_weights(to_bytes(state, card(make_store(name="other"), arch=DEEP)))
    result = cli("compress", "deep", "--keep-blocks", "2,2", "--out", "small.safetensors")
    assert (result.code, Path("small.safetensors").exists()) == (3, False)
    assert "layer1.1.conv1.weight" in result.err


def test_an_onnx_file_and_a_place_that_cannot_be_written_are_exit_2(cli: Cli, untimed: None) -> None:
    deep_run()
    Path("net.onnx").write_bytes(b"\x08\x0a")
    assert cli("compress", "net.onnx", "--keep-blocks", "2,2", "--out", "small.safetensors").code == 2
    Path("file").write_bytes(b"")
    result = cli("compress", "deep", "--keep-blocks", "2,2", "--out", "file/small.safetensors")
    assert result.code == 2
    assert "cannot write" in result.err
    Path("small.safetensors").symlink_to("nowhere")
    result = cli("compress", "deep", "--keep-blocks", "2,2", "--out", "small.safetensors")
    assert (result.code, Path("small.safetensors").is_symlink()) == (2, True)


def test_a_block_of_a_missing_plugin_is_exit_4_with_the_install_line(cli: Cli, untimed: None) -> None:
    deep_run(plugins=Plugins(required={"resnet-squeeze": "1.2"}, used={"resnet-squeeze": "1.2"}))
    result = cli("compress", "deep", "--keep-blocks", "2,2", "--out", "small.safetensors")
    assert "install resnet-squeeze 1.2 from the folder, wheel or index that has it" in " ".join(result.err.split())
    assert (result.code, Path("small.safetensors").exists()) == (4, False)


def test_data_that_is_not_in_the_store_is_exit_3_and_the_last_run_is_the_default(cli: Cli, untimed: None) -> None:
    deep_run()
    line = ("compress", "--keep-blocks", "2,2", "--out", "small.safetensors")
    result = cli(*line, "--data", "zooo")
    assert (result.code, Path("small.safetensors").exists()) == (3, False)
    assert "zooo" in result.err
    assert cli(*line).code == 0
    again = cli("compress", "small.safetensors", "--keep-blocks", "1,1", "--out", "less.safetensors", "--json").json()
    assert (again["before"], again["after"], again["target"]) == ([2, 2], [1, 1], "small.safetensors")
    assert again["params"][1] < again["params"][0]


def test_classes_of_other_data_are_refused_by_name(cli: Cli, untimed: None) -> None:
    deep_run()
    make_store(name="farm", classes=("ape", "bee", "dog"))
    result = cli("compress", "deep", "--keep-blocks", "2,2", "--out", "small.safetensors", "--data", "farm")
    assert result.code == 3
    assert "farm: ape, bee, dog" in result.err
    assert "the network: ape, bee, cow" in result.err


def test_what_was_measured_on_the_whole_network_is_not_claimed_for_the_smaller_one(cli: Cli, untimed: None) -> None:
    sure = Calibration(temperature=3.0, sets={"0.9": 0.2}, images=500)
    folder = deep_run(calibration=sure, metrics={"val_top1": 0.9}, teacher={"arch": "resnet56"})
    assert read_card(folder.weights).temperature == 3
    assert cli("compress", "deep", "--keep-blocks", "4,3", "--out", "small.safetensors").code == 0
    smaller = read_card(Path("small.safetensors"))
    assert (smaller.calibration, dict(smaller.metrics), dict(smaller.teacher)) == (None, {}, {})
    assert smaller.trained_on == read_card(folder.weights).trained_on


def test_training_goes_on_from_the_smaller_network_and_resumes(cli: Cli, untimed: None) -> None:
    deep_run()
    cli("compress", "deep", "--keep-blocks", "2,1", "--out", "small.safetensors")
    line = ("finetune", "small.safetensors", "--data", "zoo", "--teacher", "deep", "--batch-size", "16", "--seed", "1")
    whole = cli(*line, "--epochs", "2", "--name", "whole")
    assert whole.code == 0, whole.err
    tuned = read_card(Path("runs/whole/model.safetensors"))
    assert (tuned.arch.depths, tuned.arch.name) == ((2, 1), "tiny-blocks-2-1")
    assert tuned.teacher["arch"] == "tiny"
    assert cli("runs", "verify", "whole").code == 0
