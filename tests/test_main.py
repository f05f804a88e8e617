"""The entry point, run in new processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnetctl import __version__


def python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=env)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_loads_no_heavy_module(flag: str) -> None:
    done = python("-X", "importtime", "-m", "resnetctl", flag)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert done.stdout == f"resnetctl {__version__}\n"
    assert not loaded & {"typer", "pydantic", "rich", "importlib.metadata", "torch", "numpy", "resnetctl.cli"}


def test_the_console_script_is_the_same_command() -> None:
    from importlib.metadata import entry_points

    (point,) = entry_points(group="console_scripts", name="resnetctl")
    assert point.value == "resnetctl.__main__:main"


def test_openmp_is_configured_before_torch_is_loaded() -> None:
    probe = (
        "import os, sys; [os.environ.pop(name, None) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')]\n"
        "from resnetctl.__main__ import main\n"
        "main(['plugins', 'list', '--json'])\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE' and 'torch' not in sys.modules\n"
        "assert 0 < int(os.environ.pop('GOMP_SPINCOUNT')) < 5000\n"
        "os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'; main(['--help'])\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'ACTIVE' and 'GOMP_SPINCOUNT' not in os.environ"
    )
    assert python("-c", probe).returncode == 0


def test_an_installed_distribution_without_a_name_stops_no_command(tmp_path: Path) -> None:
    (tmp_path / ".dist-info").mkdir()
    (tmp_path / ".dist-info" / "entry_points.txt").write_text("[resnetctl.archs]\nbad = bad_nets:net\n")
    done = python("-m", "resnetctl", "plugins", "list", "--kind", "arch", path=tmp_path)
    assert (done.returncode, "internal error" in done.stderr) == (0, False)
    assert "arch bad of unknown ? is stale" in done.stderr


HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "numpy", "PIL", "rich.markdown", "asyncio", "pydantic_settings"}


@pytest.mark.parametrize(
    "line",
    ["--help", "--help-all", "train --help", "train --help-all", "plugins list", "data --help", "--version --json"],
)
def test_help_and_lists_load_no_heavy_module(line: str) -> None:
    probe = (
        "import sys; from resnetctl.__main__ import main; code = main(sys.argv[1:])\n"
        f"print('LOADED', *({HEAVY!r} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = python("-c", probe, *line.split())
    assert (done.returncode, done.stderr.strip()) == (0, "LOADED")
