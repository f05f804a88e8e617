"""Weights whose plugin was edited under the same version: each verb names the file and says what has changed."""

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.datasets import tiny
from support.distributions import install
from support.jobs import to_finetune
from support.tiny_runs import run

import resnetctl as rc
from resnetctl import registry
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import ResnetctlError
from resnetctl.runs import RunDir
from resnetctl.system import settings
from resnetctl.tasks import targets
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume

BLOCK = """
from resnetctl.blocks import BasicBlock

class Odd(BasicBlock):
    def __init__(self, in_channels, width, *, stride: int = 1, gain: int = 1):
        super().__init__(in_channels, width, stride=stride)
"""


def renew() -> None:
    sys.modules.pop("odd_block", None)
    importlib.invalidate_caches()
    registry.refresh()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunDir]:
    """A run of the plugin `odd`, whose block argument was renamed afterwards."""
    tiny(settings.load().data_dir)
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "odd", {"block": {"odd": "odd_block:Odd"}}, code=BLOCK)
    renew()
    finished = run("model.block=odd", "model.block_args.gain=2", name="edited")
    (site / "odd_block.py").write_text(BLOCK.replace("gain", "gian"))
    renew()
    yield finished
    renew()


VERBS: dict[str, Callable[[RunDir], object]] = {
    "eval": lambda run: targets.open_target(targets.resolve(str(run.path), settings.load()), settings.load()),
    "its file": lambda run: targets.open_target(targets.resolve(run.weights, settings.load()), settings.load()),
    "load": lambda run: rc.load(str(run.path)),
    "finetune": lambda run: list(
        finetune(to_finetune(from_sets([f"weights={run.path}", "data=tiny", "epochs=1"])), settings.load())
    ),
    "resume": lambda run: list(resume(str(run.path), epochs=9, settings=settings.load())),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_renamed_argument_is_exit_4_and_says_that_the_code_was_changed(trained: RunDir, verb: str) -> None:
    with pytest.raises(ResnetctlError) as caught:
        VERBS[verb](trained)
    error = caught.value
    assert error.exit_code == 4
    assert "the code of odd was changed since the weights were trained" in error.message
    assert error.problems == ("'gain' is not an argument: did you mean 'gian'?",)
    assert str(error.where).startswith(str(trained.path / "checkpoints" if verb == "resume" else trained.weights))
    assert any("train again with the code of today" in str(hint) for hint in error.hint)


def test_a_file_far_from_its_run_knows_the_plugin_only(trained: RunDir, tmp_path: Path) -> None:
    copied = shutil.copy(trained.weights, tmp_path / "copied.safetensors")
    with pytest.raises(ResnetctlError) as caught:
        rc.load(copied)
    assert (caught.value.exit_code, caught.value.where) == (4, str(copied))
    assert caught.value.hint[-1] == "install odd with the code that trained the weights"
