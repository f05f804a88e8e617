"""`weights show` and `weights import` print the report of a replaced task."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.config.layers import Layer
from resnetctl.spec import Arch, Calibration, ImageSpec, Plugins, WeightsCard
from resnetctl.tasks import weights as task

Cli = Callable[..., Any]


@pytest.fixture
def report() -> task.ShowReport:
    card = WeightsCard(
        arch=Arch(name="resnet20", block="basic", depths=(3,), widths=(16,), stem="cifar"),
        classes=("cat", "d\x1bog"),
        image=ImageSpec(size=32),
        metrics={"epoch": 9, "val_top1": 0.91},
    )
    return task.ShowReport(
        path=Path("m.safetensors"), card=card, params=272474, tensors=3, bytes=1_100_000, sha256="ab",
        state_sha256="cd", notes=("mean and std are assumed",),
    )  # fmt: skip


def test_of_many_classes_the_first_are_named(
    cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = dataclasses.replace(report.card, classes=tuple(f"c{number}" for number in range(1000)))
    monkeypatch.setattr(task, "show", lambda target, settings: dataclasses.replace(report, card=many))
    (line,) = [line for line in cli("weights", "show", "m").out.splitlines() if line.startswith("classes")]
    assert line == "classes  1,000: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 990 more"
    assert '"c999"' in cli("weights", "show", "m", "--json").out


def test_show_prints_the_card(cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "show", lambda target, settings: report)
    result = cli("weights", "show", "m.safetensors")
    assert result.err == "mean and std are assumed\n"
    assert result.out.splitlines() == [
        "file     m.safetensors",
        "arch     resnet20   block basic, stem cifar",
        "params   272,474",
        "classes  2: cat, d\\x1bog",
        "image    32 px, 3 channels, bilinear, resize 32",
        "mean     0.5, 0.5, 0.5",
        "std      0.25, 0.25, 0.25",
        "metrics  epoch 9, val_top1 0.91",
        "size     1.1 MB",
        "sha256   ab",
    ]


def test_show_names_the_arguments_of_the_block(
    cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    arch = dataclasses.replace(report.card.arch, block_args={"shortcut": "A", "bias": 2.0})
    changed = dataclasses.replace(report, card=dataclasses.replace(report.card, arch=arch))
    monkeypatch.setattr(task, "show", lambda target, settings: changed)
    shown = cli("weights", "show", "m.safetensors").out.splitlines()
    assert shown[1] == "arch     resnet20   block basic (shortcut=A, bias=2.0), stem cifar"


def test_show_lists_plugins_that_are_needed_and_that_were_used(
    cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = Plugins(required={"nets": "1.0"}, used={"nets": "1.0", "mix": "2.0"})
    with_plugins = dataclasses.replace(report, card=dataclasses.replace(report.card, plugins=plugins))
    monkeypatch.setattr(task, "show", lambda target, settings: with_plugins)
    lines = cli("weights", "show", "m.safetensors").out.splitlines()
    assert {"needs    nets 1.0", "used     mix 2.0"} <= set(lines)


def test_show_says_what_val_chose(cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Calibration(temperature=2.5671, sets={"0.9": 0.25, "0.95": 0.125}, images=5000)
    calibrated = dataclasses.replace(report, card=dataclasses.replace(report.card, calibration=chosen))
    monkeypatch.setattr(task, "show", lambda target, settings: calibrated)
    assert (
        "calibrated  temperature 2.567, 90 % sets from probability 0.25, 95 % sets from probability 0.125   "
        "(5,000 images of val)"
    ) in cli("weights", "show", "m.safetensors").out.splitlines()


def test_show_prints_json(cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "show", lambda target, settings: report)
    document = cli("weights", "show", "m.safetensors", "--json").json()
    assert document == {"schema": "resnetctl.weights.show/1", **report.to_json()}


def test_import_passes_every_option_to_the_task(
    cli: Cli, report: task.ShowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []

    def import_file(request: task.ImportRequest, settings: object) -> task.ShowReport:
        requests.append(request)
        return report

    monkeypatch.setattr(task, "import_file", import_file)
    line = "weights import a.th --arch resnet20 --classes c.txt --size 32 --mean 1,2,3 --std 4,5,6 --out o.st"
    line += " --block bottleneck --set model.block_args.shortcut=A"
    assert cli(*line.split()).code == 0
    assert requests == [
        task.ImportRequest(
            file=Path("a.th"), arch="resnet20", out=Path("o.st"), classes=Path("c.txt"), size=32, mean="1,2,3",
            std="4,5,6", model=Layer(
                {"model.block": "bottleneck", "model.block_args.shortcut": "A"},
                {"model.block": "flag --block", "model.block_args.shortcut": "--set"},
            ),
        )
    ]  # fmt: skip


def test_one_error_names_all_that_is_missing(cli: Cli) -> None:
    assert cli("weights", "import").err.splitlines()[:2] == [
        "error: resnetctl weights import needs FILE, --arch and --out",
        "  try    resnetctl weights import net.pth -a resnet20 -d cifar10 -o net.safetensors",
    ]
    assert cli("weights", "import", "a.pt", "-aresnet20").err.splitlines()[0].endswith("import needs --out")
    assert cli("weights", "import", "a.pt", "--out=o.st").err.splitlines()[0].endswith("import needs --arch")


def test_a_missing_file_is_exit_3(cli: Cli) -> None:
    result = cli("weights", "show", "nowhere.safetensors")
    assert result.code == 3
    assert result.err.startswith("error: ")
