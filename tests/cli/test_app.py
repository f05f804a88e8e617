"""The Typer app works with Typer's runner, mounted in another app, and with Typer's docs tool."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from resnetctl import __version__
from resnetctl.cli.app import app
from resnetctl.cli.verbs import ROOT

PACKAGE = Path(__file__).parents[2] / "resnetctl"
VERBS = {
    "data": ["data", "list"],
    "train": ["train", "--data", "digits", "--set", "no.such=1"],
    "finetune": ["finetune", "--data", "digits", "--lr", "-1"],
    "sweep": ["sweep", "nothing.toml"],
    "eval": ["eval", "--min-accuracy", "7"],
    "report": ["report", "nothing.onnx"],
    "predict": ["predict", "nothing.onnx", "cat.jpg"],
    "explain": ["explain", "nothing.safetensors", "cat.jpg"],
    "compress": ["compress", "nothing.safetensors", "--speedup", "2", "--out", "small.safetensors"],
    "export": ["export", "nothing.safetensors", "--onnx"],
    "recipes": ["recipes", "verify", "nothing"],
    "slurm": ["slurm", "nothing"],
    "bench": ["bench", "--set", "no.such=1"],
    "weights": ["weights", "show", "nothing.safetensors"],
    "runs": ["runs", "list", "--json"],
    "plugins": ["plugins", "list", "--kind", "arch"],
    "config": ["config", "show", "--data", "digits"],
}
CODES = {
    "train": 2,
    "finetune": 2,
    "sweep": 3,
    "eval": 2,
    "report": 3,
    "predict": 3,
    "explain": 3,
    "compress": 3,
    "export": 3,
    "recipes": 2,
    "slurm": 3,
    "bench": 2,
    "weights": 3,
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_app_is_a_typer_app_with_every_verb() -> None:
    assert isinstance(app, typer.Typer)
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert set(ROOT.members) <= set(command.commands)
    assert set(VERBS) == set(ROOT.members)


@pytest.mark.parametrize("verb", VERBS)
def test_the_runner_of_typer_runs_every_verb(verb: str) -> None:
    result = CliRunner().invoke(app, VERBS[verb])
    assert result.exit_code == CODES.get(verb, 0), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert bool(result.stdout) is (result.exit_code == 0)
    assert result.stderr.startswith("error: ") is (result.exit_code != 0)


@pytest.mark.parametrize("words", [[], ["--help"], ["train", "--help"], ["data"], ["plugins", "check", "--help-all"]])
def test_the_runner_shows_our_help_screens(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert result.stdout.startswith(f" Usage: {' '.join(['resnetctl', *(w for w in words if w[0] != '-')])} ")


def other_app() -> typer.Typer:
    other = typer.Typer()
    other.add_typer(app, name="resnet")

    @other.command()
    def hello() -> None:
        typer.echo("hello")

    return other


def test_another_app_can_mount_it() -> None:
    runner, other = CliRunner(), other_app()
    assert runner.invoke(other, ["hello"]).stdout == "hello\n"
    assert runner.invoke(other, ["resnet", "--version"]).stdout == f"resnetctl {__version__}\n"
    listed = runner.invoke(other, ["resnet", "plugins", "list", "--kind", "arch"])
    assert listed.exit_code == 0
    assert "resnet56" in listed.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["resnet", "trian"], 2, "error: no command 'root resnet trian'"),
        (["resnet", "train", "--epochz"], 2, "error: root resnet train has no option --epochz"),
        (["resnet", "train", "--lr", "x"], 2, "error: --lr should be a valid number, not 'x'"),
        (["resnet", "weights", "show", "no.safetensors"], 3, "error: there is no such file"),
    ],
)
def test_the_mounted_app_reports_its_errors_with_its_exit_codes(words: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(other_app(), words)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (code, message)
    assert "Traceback" not in result.output


def test_typers_docs_tool_documents_every_verb(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "typer", "resnetctl.cli.app", "utils", "docs", "--output", str(tmp_path / "cli.md")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cli.md").read_text(encoding="utf-8")
    for verb in ROOT.members:
        assert f"## `resnetctl {verb}`" in text
    assert "--label-smoothing" in text


def test_only_public_names_of_typer_are_imported() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for dotted in (f"{module}.{name}" for name in names):
                if "typer" in dotted.split(".") and not dotted.startswith("resnetctl"):
                    assert not any(part.startswith("_") for part in dotted.split(".")), f"{path}: {dotted}"
                assert "click" not in dotted.split("."), f"{path}: {dotted}"
