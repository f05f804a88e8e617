"""`export` prints the report of a replaced task."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.tasks import export as task

Cli = Callable[..., Any]
CHECKED = ("--images", "photos", "--gate", "synthetic")
REPORT = task.ExportReport(
    path=Path("runs/a/export/model.onnx"),
    opset=20,
    bytes=1_100_000,
    sha256="ab",
    parity=task.Parity(max_abs_diff=2.4e-6, tolerance=1.2e-3, agreement=1.0),
    gate={"kind": "real", "source": "digits/val", "images": 74},
    notices=("the run is unfinished",),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    received: list[Any] = []

    def export(target: str | None, **options: Any) -> task.ExportReport:
        received.append((target, {key: value for key, value in options.items() if key != "settings"}))
        return REPORT

    monkeypatch.setattr(task, "export", export)
    return received


def test_export_prints_the_report_as_text(cli: Cli, calls: list[Any]) -> None:
    result = cli("export", "--onnx")
    assert (result.code, result.err) == (0, "the run is unfinished\n")
    assert result.out.splitlines() == [
        "wrote       runs/a/export/model.onnx   1.1 MB, opset 20",
        "checked on  74 real images   digits/val",
        "difference  2.4e-06   (1.2e-03 is allowed)",
        "same top-1  100.00 %",
        "sha256      ab",
        "",
        "Next",
        "  resnetctl eval runs/a/export/model.onnx",
        "  resnetctl predict runs/a/export/model.onnx IMAGE...",
    ]
    assert calls == [(None, {"out": None, "images": None, "gate": "real", "input": "float"})]


def test_flags_reach_the_task(cli: Cli, calls: list[Any]) -> None:
    cli("export", "m.safetensors", "--onnx", "-o", "m.onnx", *CHECKED, "--input", "raw")
    options = {"out": Path("m.onnx"), "images": Path("photos"), "gate": "synthetic", "input": "raw"}
    assert calls == [("m.safetensors", options)]


def test_a_raw_file_names_the_pillow_that_it_equals(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = {**REPORT.gate, "made_up": 30, "pillow": "13.0.0"}
    monkeypatch.setattr(task, "export", lambda *_, **__: dataclasses.replace(REPORT, input="raw", gate=gate))
    lines = cli("export", "--onnx", "--input", "raw").out.splitlines()
    assert lines[2] == "pixels      those of Pillow 13.0.0, also on 30 made-up sizes"


def test_export_prints_json(cli: Cli, calls: list[Any]) -> None:
    assert cli("export", "--onnx", "--json").json() == REPORT.to_json()


@pytest.mark.parametrize(
    ("line", "hint"), [([], "resnetctl export --onnx"), (["runs/a"], "resnetctl export runs/a --onnx")]
)
def test_export_without_a_format_is_a_usage_error(cli: Cli, calls: list[Any], line: list[str], hint: str) -> None:
    result = cli("export", *line)
    assert result.code == 2
    message = "error: choose a format: --onnx, --triton DIR, --hub DIR or --to NAME"
    assert result.err.splitlines() == [message, f"  try    {hint}"]
    assert calls == []


def test_two_formats_are_refused(cli: Cli) -> None:
    assert cli("export", "--onnx", "--to", "triton").err.startswith("error: choose one format: --onnx")


def test_triton_is_the_exporter_of_that_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []

    def export(target: str | None, **options: Any) -> task.ExportReport:
        received.append((options["out"], options["to"]))
        files = ("1/model.onnx", "config.pbtxt")
        return dataclasses.replace(REPORT, path=options["out"], exporter="triton", files=files, parity=None)

    monkeypatch.setattr(task, "export", export)
    lines = cli("export", "--triton", "pets", "--gate", "none").out.splitlines()
    assert received == [(Path("pets"), "triton")]
    assert lines == [
        "wrote      pets   1.1 MB, triton: 1/model.onnx, config.pbtxt",
        "unchecked  nothing opened these files: --gate none",
        "sha256     ab",
    ]
