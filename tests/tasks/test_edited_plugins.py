"""Weights whose plugin was edited under the same version: each verb names the file and says what has changed."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.datasets import tiny
from support.distributions import install
from support.groups import TRAINER, worked
from support.jobs import to_finetune, to_train
from support.tiny_runs import ARCH, notice_texts, run

import resnetctl as rc
from resnetctl import registry
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import ConfigError, ResnetctlError
from resnetctl.facts import Finished
from resnetctl.hints import Setting
from resnetctl.runs import RunDir
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks import targets
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.runs.comparison import compare
from resnetctl.tasks.sweep.results import show
from resnetctl.tasks.sweep.seeds import plan_seeds
from resnetctl.tasks.sweep.work import work

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
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder into which the plugin `odd` is installed."""
    tiny(settings.load().data_dir)
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "odd", {"block": {"odd": "odd_block:Odd"}}, code=BLOCK)
    renew()
    yield site
    renew()


@pytest.fixture
def trained(site: Path) -> RunDir:
    """A run of the plugin `odd`, whose block argument was renamed afterwards."""
    finished = run("model.block=odd", "model.block_args.gain=2", name="edited")
    (site / "odd_block.py").write_text(BLOCK.replace("gain", "gian"))
    renew()
    return finished


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
    assert "the code of odd (odd_block.py) was changed since the weights were trained" in error.message
    assert error.problems == ("'gain' is not an argument: did you mean 'gian'?",)
    assert str(error.where).startswith(str(trained.path / "checkpoints" if verb == "resume" else trained.weights))
    assert any("train again with the code of today" in str(hint) for hint in error.hint)


def test_after_a_new_version_the_old_code_is_to_be_checked_out_and_the_arguments_are_named(
    trained: RunDir, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = site.parent / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text('[project]\nname = "odd"\nversion = "1.3"\n')
    info = site / "odd-1.2.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.3\n")
    (info / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}, "url": source.as_uri()}))
    renew()
    with pytest.raises(ResnetctlError) as caught:
        VERBS["eval"](trained)
    assert caught.value.message.endswith("the weights were written with odd 1.2, and 1.3 is installed")
    assert [str(hint) for hint in caught.value.hint] == [
        "arguments of block 'odd': gian=1",
        f"check out the code of 1.2 in {source}, then pip install -e {source}",
    ]
    assert caplog.messages == []  # no notice says it, too


def test_a_file_far_from_its_run_knows_the_plugin_only(trained: RunDir, tmp_path: Path) -> None:
    copied = shutil.copy(trained.weights, tmp_path / "copied.safetensors")
    with pytest.raises(ResnetctlError) as caught:
        rc.load(copied)
    assert (caught.value.exit_code, caught.value.where) == (4, str(copied))
    assert caught.value.hint[-1] == "install odd with the code that trained the weights"


def planned(*, seeds: int) -> Group:
    sets = from_sets([*ARCH, "data=tiny", "epochs=1", "model.block=odd"])
    return plan_seeds(to_train(sets, name="g"), settings.load(), seeds=seeds)


@pytest.mark.parametrize("what", ["code", "version"])
def test_a_group_does_not_mix_two_versions_of_a_plugin_without_a_word(site: Path, what: str) -> None:
    facts = work(planned(seeds=2), settings.load(), trainer=TRAINER)
    next(fact for fact in facts if isinstance(fact, Finished))
    facts.close()  # another worker trains the second run, after the edit
    if what == "code":
        (site / "odd_block.py").write_text(f"{BLOCK}\n    scale = 2\n")
        change = "the code of odd (odd_block.py) was changed since 0-seed0 was trained"
        mixed = "the runs were trained with different code of odd (odd_block.py): 0-seed0; 1-seed1"
    else:
        info = site / "odd-1.2.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.3\n")
        change = "odd: 1.2 in 0-seed0, 1.3 now"
        mixed = "the runs were trained with different versions of odd: 1.2 for 0-seed0; 1.3 for 1-seed1"
    renew()
    with pytest.raises(ConfigError, match="more runs would mix both") as caught:
        planned(seeds=3)
    assert caught.value.problems == (change,)
    assert Setting("name", "OTHER", note="makes a new group") in caught.value.hint
    group = planned(seeds=2)  # adds none
    assert len(group.names()) == 2
    assert show(group).plugins == ()
    assert change in notice_texts(worked(group))
    assert show(group).plugins == (f"{group.path}: {mixed}",)
    assert compare([group.run(name) for name in group.names()]).plugins == (mixed,)
    assert worked(group) == []  # nothing is left to train


def test_a_process_keeps_the_digest_of_the_code_that_it_imported(site: Path) -> None:
    one = run("model.block=odd", name="one")
    (site / "odd_block.py").write_text(f"{BLOCK}\n    scale = 2\n")
    two = run("model.block=odd", name="two")
    assert one.code() == two.code()
    renew()
    assert run("model.block=odd", name="three").code() != one.code()
