"""The script that writes the README's table: its arithmetic, and one small real run."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

SCRIPT = Path(__file__).parents[1] / "compare.py"


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lite_compare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lite_compare", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_line_has_the_mean_and_the_spread(compare: ModuleType) -> None:
    first = compare.Row(arch="big", params=1, flops=1, latencies=(0.002, 0.02, 0.002), accuracies=(0.5,))
    row = compare.Row(
        arch="tiny", params=12_345, flops=2_500_000, latencies=(0.001, 0.01, 0.00125), accuracies=(0.9, 0.92, 0.94)
    )
    assert compare.table([first, row], "how").splitlines()[3:] == [
        "| tiny | 12,345 | 2.50 | 1.250 | 0.50 | 92.00 ± 2.00 |",
        "",
        "how",
    ]


def test_one_seed_has_no_spread(compare: ModuleType) -> None:
    row = compare.Row(arch="tiny", params=1, flops=1, latencies=(1.0,), accuracies=(0.5,))
    assert compare.table([row], "").splitlines()[2].endswith("| 50.00 |")


def test_only_the_text_between_the_marks_changes(compare: ModuleType) -> None:
    readme = f"above\n{compare.BEGIN}\nold\n{compare.END}\nbelow\n"
    once = compare.replaced(readme, "new")
    assert once == f"above\n{compare.BEGIN}\nnew\n{compare.END}\nbelow\n"
    assert compare.replaced(once, "new") == once
    with pytest.raises(ValueError, match="compare: begin"):
        compare.replaced("no marks", "new")


def test_the_readme_has_the_marks(compare: ModuleType) -> None:
    text = (SCRIPT.parent / "README.md").read_text(encoding="utf-8")
    assert "new table" in compare.replaced(text, "new table")


def test_the_files_take_turns(compare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    monkeypatch.setattr(compare, "ROUNDS", 3)
    monkeypatch.setattr(compare, "_call", lambda onnx: lambda: turns.append(onnx.name))
    monkeypatch.setattr(compare, "_seconds", lambda call: call() or float(len(turns)))
    assert compare.latencies([Path("a"), Path("b")]) == [(1, 3, 5), (2, 4, 6)]
    assert turns == ["a", "b"] * 3


def test_latency_is_measured_on_the_file(compare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("ROUNDS", 2), ("WARM_UP", 1), ("TIMED", 3)):
        monkeypatch.setattr(compare, name, count)
    path = tmp_path / "model.onnx"
    shape = ["batch", 3, 4, 4]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["images"], ["out"])],
        "g",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, shape)],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, ir_version=10, opset_imports=opset), path)
    (seconds,) = compare.latencies([path])
    assert len(seconds) == 2
    assert all(0 < one < 60 for one in seconds)


def test_a_network_is_trained_exported_and_evaluated(
    compare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each verb runs in a real process; a second call trains nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("RESNETCTL_PLUGINS", raising=False)
    options = argparse.Namespace(data="digits", epochs=1, seeds=1, out=str(tmp_path / "out"))
    (row,) = compare.measure(["separable_resnet20"], options)
    run = tmp_path / "out" / "digits-1-separable_resnet20-0"
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert row.params == 38_730  # 10 classes, one channel: the stem has 288 weights fewer
    assert 0 <= row.accuracies[0] <= 1
    assert min(row.latencies) > 0
    stem = 2 * 8 * 8 * 9 * 16
    assert row.flops > stem + 2 * 64 * 10
    assert row.flops % 2 == 0
    before = (run / "metrics.jsonl").stat().st_mtime_ns
    assert compare.train("separable_resnet20", 0, options=options) == run
    assert (run / "metrics.jsonl").stat().st_mtime_ns == before


def test_flops_are_two_for_each_multiply_add(compare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from torch import nn

    import resnetctl

    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(5 * 16, 2))
    card = SimpleNamespace(image=SimpleNamespace(channels=3, size=4))
    monkeypatch.setattr(resnetctl, "load", lambda run: (net, card), raising=False)
    params, flops = compare.cost(Path("run"))
    assert params == 3 * 5 * 9 + 5 * 16 * 2 + 2
    assert flops == 2 * (np.prod((3, 9, 5, 16)) + 5 * 16 * 2)
