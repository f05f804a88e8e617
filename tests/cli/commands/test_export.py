"""`export` prints the report of a replaced task."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.compress.int8 import Gap, Int8Report
from resnetctl.deploy.parity import Parity
from resnetctl.engine.stopwatch import Spread
from resnetctl.tasks import export as task

Cli = Callable[..., Any]
CHECKED = ("--images", "photos", "--gate", "synthetic")
REPORT = task.ExportReport(
    path=Path("runs/a/export/model.onnx"),
    opset=20,
    bytes=1_100_000,
    sha256="ab",
    parity=Parity(max_abs_diff=2.4e-6, tolerance=1.2e-3, agreement=1.0),
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


def test_a_file_that_names_no_dataset_needs_one_to_be_evaluated(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "export", lambda *_, **__: dataclasses.replace(REPORT, names_data=False))
    assert "  resnetctl eval runs/a/export/model.onnx --data NAME" in cli("export", "--onnx").out.splitlines()


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
    message = "error: choose a format: --onnx, --web, --triton DIR, --hub DIR or --to NAME"
    assert result.err.splitlines() == [message, f"  try    {hint}"]
    assert calls == []


def test_two_formats_are_refused(cli: Cli) -> None:
    assert cli("export", "--onnx", "--to", "triton").err.startswith("error: choose one format: --onnx")


def test_two_places_are_refused(cli: Cli, calls: list[Any]) -> None:
    assert cli("export", "--hub", "a", "--out", "b").err.startswith("error: --hub names the folder already")
    assert calls == []


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


def test_web_is_the_exporter_of_that_name_with_raw_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []

    def export(target: str | None, **options: Any) -> task.ExportReport:
        received.append((options["to"], options["input"], options["assets"]))
        return dataclasses.replace(REPORT, exporter="web", files=("index.html",), parity=None)

    monkeypatch.setattr(task, "export", export)
    assert cli("export", "--web", "--ort-web", "dist").code == 0
    assert received == [("web", "raw", Path("dist"))]
    result = cli("export", "--onnx", "--ort-web", "dist")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: --ort-web needs --web")


def test_export_prints_what_int8_costs_and_gains(cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    gap = Gap(before=0.81, after=0.808, drop=0.002, interval=(-0.001, 0.005), agreement=0.98, count=1000)
    speed = {"1": Spread(median=1.5, low=1.4, high=1.6, n=9)}
    made = Int8Report(
        calibration=256, float_layers=(), layers=20, reduce_range=True, float_bytes=3_300_000, gap=gap, speedup=speed
    )
    monkeypatch.setattr(f"{__name__}.REPORT", dataclasses.replace(REPORT, int8=made))
    result = cli("export", "--onnx", "--int8", "--calibrate", "100", "--max-drop", "0", "-d", "digits")
    assert result.out.splitlines()[1:4] == [
        "int8             3.0 times smaller than float32, calibrated on 256 images",
        "accuracy on val  80.80 %, float32 81.00 %: -0.20 points (-0.50 to +0.10, 1,000 images)",
        "batch of 1       1.50 times as fast as float32 here (1.40 to 1.60, one thread)",
    ]
    checked = "float32 file     checked on 74 real images digits/val: difference 2.4e-06 (1.2e-03 "
    assert any(line.startswith(checked) for line in result.out.splitlines()), result.out
    assert calls[0][1]["int8"] == {"calibrate": 100, "max_drop": 0.0}
    assert calls[0][1]["data"] == "digits"
    equal = dataclasses.replace(made, gap=dataclasses.replace(gap, after=0.81, drop=0.0, interval=(0.0, 0.0)))
    monkeypatch.setattr(f"{__name__}.REPORT", dataclasses.replace(REPORT, int8=equal))
    assert ": +0.00 points (+0.00 to +0.00, " in cli("export", "--onnx", "--int8").out


@pytest.mark.parametrize("flag", ["--calibrate=9", "--max-drop=0", "--allow-slower"])
def test_options_of_int8_need_int8(cli: Cli, calls: list[Any], flag: str) -> None:
    result = cli("export", "--onnx", flag)
    assert result.code == 2
    assert f"{flag.partition('=')[0]} needs --int8" in result.err
    assert calls == []


@pytest.mark.parametrize(
    "line", [("--onnx", "--input", "raw"), ("--to", "triton"), ("--triton", "place"), ("--hub", "place")]
)
def test_int8_with_anything_but_a_float_onnx_file_is_one_usage_error(cli: Cli, line: tuple[str, ...]) -> None:
    result = cli("export", *line, "--int8")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("error:") == 1
    assert "int8 is for ONNX files with float input only" in result.err
    assert "resnetctl export --onnx --input float --int8" in result.err
    assert not Path("place").exists()
