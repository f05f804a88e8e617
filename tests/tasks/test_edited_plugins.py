"""Weights whose plugin was edited under the same version: each verb names the file and says what has changed."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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
from resnetctl.tasks.evaluate import EvalOutcome, evaluate
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.runs.comparison import compare
from resnetctl.tasks.runs.difference import diff
from resnetctl.tasks.runs.listing import details, facts
from resnetctl.tasks.sweep.results import show
from resnetctl.tasks.sweep.seeds import plan_seeds
from resnetctl.tasks.sweep.work import work
from resnetctl.weights.file import read_header

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


LATE: dict[str, Callable[[RunDir], object]] = {
    "eval": lambda run: evaluate(str(run.path), settings=settings.load()),
    "predict": lambda run: rc.predict(run.weights, np.zeros((8, 8, 3), np.uint8)),
    "export": lambda run: rc.export(str(run.path)),
    "explain": lambda run: rc.explain(str(run.path), "cat.png"),
    "resume": VERBS["resume"],
}


@pytest.mark.parametrize("verb", LATE)
def test_a_block_that_fails_since_its_code_was_edited_is_exit_4_with_the_line(site: Path, verb: str) -> None:
    finished = run("model.block=odd", name="late")
    Image.new("RGB", (8, 8)).save("cat.png")
    late = "\n    def forward(self, images):\n        return self.nope(super().forward(images))\n"
    (site / "odd_block.py").write_text(BLOCK + late)
    renew()
    with pytest.raises(ResnetctlError) as caught:
        LATE[verb](finished)
    error = caught.value
    assert (error.exit_code, str(error.where)) == (4, "odd_block.py:9")
    assert error.message.startswith("block 'odd' of odd 1.2: AttributeError: 'Odd' object has no attribute 'nope'")
    is_told = "the code of odd (odd_block.py) was changed since the weights were trained" in error.message
    assert is_told == (verb not in ("export", "explain"))


@pytest.mark.parametrize("verb", ["eval", "resume"])
def test_a_module_that_no_longer_loads_names_its_line_and_no_way_without_it(site: Path, verb: str) -> None:
    finished = run("model.block=odd", name="broken")
    (site / "odd_block.py").write_text(BLOCK + "x = (\n")
    renew()
    with pytest.raises(ResnetctlError) as caught:
        VERBS[verb](finished)
    assert str(caught.value.where) == "odd_block.py:7"
    assert not any("RESNETCTL_PLUGINS" in str(hint) for hint in caught.value.hint)


def test_a_resume_after_a_module_was_renamed_says_once_what_to_do(site: Path) -> None:
    """The hints of the keys and of the changed code said the same."""
    named = BLOCK.replace("stride=stride)", "stride=stride)\n        self.extra = nn.BatchNorm2d(width)")
    (site / "odd_block.py").write_text("from torch import nn\n" + named)
    renew()
    finished = run("model.block=odd", name="renamed")
    (site / "odd_block.py").write_text("from torch import nn\n" + named.replace("extra", "more"))
    renew()
    with pytest.raises(ResnetctlError) as caught:
        VERBS["resume"](finished)
    assert "the code of odd (odd_block.py) was changed" in caught.value.message
    assert caught.value.problems[0].startswith("missing: ")
    assert caught.value.hint == ("restore the code as it was then, or train again with the code of today",)


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
        mixed = "the runs were trained with different code of odd (odd_block.py): g/0-seed0; g/1-seed1"
    else:
        info = site / "odd-1.2.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.3\n")
        change = "odd: 1.2 in 0-seed0, 1.3 now"
        mixed = "the runs were trained with different versions of odd: 1.2 for g/0-seed0; 1.3 for g/1-seed1"
    renew()
    with pytest.raises(ConfigError, match="more runs would mix both") as caught:
        planned(seeds=3)
    assert caught.value.problems == (change,)
    assert Setting("name", "OTHER", note="makes a new group") in caught.value.hint
    group = planned(seeds=2)  # adds none
    assert len(group.names()) == 2
    assert show(group).plugins == ()
    assert change in notice_texts(worked(group))
    assert show(group).plugins == (mixed,)
    assert compare([group.run(name) for name in group.names()]).plugins == (mixed,)
    assert worked(group) == []  # nothing is left to train


def test_a_process_keeps_the_digest_of_the_code_that_it_imported(site: Path) -> None:
    one = run("model.block=odd", name="one")
    (site / "odd_block.py").write_text(f"{BLOCK}\n    scale = 2\n")
    two = run("model.block=odd", name="two")
    assert one.code() == two.code()
    renew()
    assert run("model.block=odd", name="three").code() != one.code()


EDITED = f"{BLOCK}\n    scale = 2\n"
ZERO = f"{BLOCK}\n    def forward(self, images):\n        return 0 * super().forward(images)\n"
CHANGED = "the code of odd (odd_block.py) was changed since"


def rewrite(site: Path, code: str = BLOCK, *, version: str = "1.2") -> None:
    """Give the plugin `odd` another code and version."""
    (site / "odd_block.py").write_text(code)
    (site / "odd-1.2.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd\nVersion: {version}\n")
    renew()


def about_code(run: RunDir) -> list[str]:
    return [text for text in targets.resolve(str(run.path), settings.load()).notices if "code" in text]


def keep(run: RunDir, epoch: int) -> None:
    """Write into the log that this epoch was the best one."""
    lines = [{**line, "best": line["epoch"] == epoch} for line in run.metrics()]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("options", [["keep=last"], []])
def test_a_resumed_run_knows_which_code_trained_the_weights_that_it_keeps(site: Path, options: list[str]) -> None:
    two = run("model.block=odd", "epochs=2", *options, name="two")
    before = two.environment()
    rewrite(site, EDITED)
    texts = notice_texts(resume(str(two.path), epochs=4, settings=settings.load()))
    assert "the code of odd (odd_block.py) was changed" in texts
    assert {key: value for key, value in two.environment().items() if key != "resumes"} == before
    assert [(item.epoch, item.step) for item in two.used_plugins()] == [(1, 0), (3, 2 * two.metrics()[0]["step"])]
    if not options:
        keep(two, 4)
    assert about_code(two) == []
    rewrite(site)
    kept = f"{CHANGED} epoch 4 of {two.path}, whose weights are kept, was trained: its network may differ"
    assert about_code(two) == [kept]
    if not options:
        keep(two, 2)
        assert about_code(two) == []
        rewrite(site, EDITED)
        assert about_code(two) == [kept.replace("epoch 4", "epoch 2")]


def test_a_resume_records_no_code_while_it_is_the_same(site: Path) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    before = (one.path / "env.json").read_bytes()
    list(resume(str(one.path), epochs=2, settings=settings.load()))
    assert (one.path / "env.json").read_bytes() == before


def test_a_process_that_imported_the_old_code_trains_with_it_and_records_nothing(site: Path) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    (site / "odd_block.py").write_text(EDITED)  # not imported again
    list(resume(str(one.path), epochs=2, settings=settings.load()))
    assert len(one.used_plugins()) == 1


def test_a_second_resume_compares_with_the_code_of_the_checkpoint(site: Path) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    rewrite(site, EDITED)
    list(resume(str(one.path), epochs=2, settings=settings.load()))
    assert "odd_block.py" not in notice_texts(resume(str(one.path), epochs=3, settings=settings.load()))
    assert [item.epoch for item in one.used_plugins()] == [1, 2]
    rewrite(site)
    assert "odd_block.py" in notice_texts(resume(str(one.path), epochs=4, settings=settings.load()))
    assert [item.epoch for item in one.used_plugins()] == [1, 2, 4]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_runs_that_changed_code_before_a_resume_say_from_which_epoch_on(site: Path, version: str) -> None:
    group = planned(seeds=2)
    worked(group)
    one, other = (group.run(name) for name in group.names())
    rewrite(site, EDITED, version=version)
    list(resume(str(one.path), epochs=2, settings=settings.load()))
    what = "other code of odd (odd_block.py)" if version == "1.2" else "odd 1.3 instead of 1.2"
    text = f"g/0-seed0 trained with {what} from epoch 2 on"
    assert diff(one, other).plugins == (text,)
    assert text in compare([one, other]).plugins
    assert text in show(group).plugins


@pytest.mark.parametrize(("kept", "version"), [(1, "1.2"), (2, "1.3")])
def test_the_weights_name_the_version_that_trained_their_epoch(
    site: Path, monkeypatch: pytest.MonkeyPatch, kept: int, version: str
) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    rewrite(site, version="1.3")
    monkeypatch.setattr(RunDir, "kept_epoch", lambda self: kept)
    list(resume(str(one.path), epochs=2, settings=settings.load()))
    plugins = read_header(one.weights).card.plugins
    assert (plugins.required, plugins.used) == ({"odd": version}, {"odd": version})


def test_a_weights_file_in_its_run_has_the_notice_of_the_run(site: Path) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    assert targets.resolve(one.weights, settings.load()).notices == ()
    rewrite(site, EDITED)
    assert about_code(one) == [f"{CHANGED} {one.path} was trained: its network may differ"]
    assert list(targets.resolve(one.weights, settings.load()).notices) == about_code(one)


def measured(target: Path) -> EvalOutcome:
    outcome = evaluate(target, settings=settings.load())
    assert isinstance(outcome, EvalOutcome)
    return outcome


@pytest.mark.parametrize("is_file", [False, True])
def test_the_accuracy_of_other_code_does_not_stand_as_that_of_the_run(site: Path, is_file: bool) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    rewrite(site, ZERO)
    target = one.weights if is_file else one.path
    outcome = measured(target)
    assert outcome.written == one.path / "eval" / "tiny-test-other-code.json"
    assert targets.OWN_REPORT in outcome.notices
    assert targets.OWN_REPORT in json.loads(outcome.written.read_text())["notices"]
    assert facts(one)["test_top1"] is None
    rewrite(site)
    right = measured(target)
    assert targets.OWN_REPORT not in right.notices
    assert facts(one)["test_top1"] == right.report.top1
    rewrite(site, ZERO)
    assert measured(target).report.loss != right.report.loss
    assert facts(one)["test_top1"] == right.report.top1
    assert details(one)["evals"].keys() == {"tiny-test", "tiny-test-other-code"}


def test_a_plugin_that_the_network_does_not_need_leaves_its_report_as_it_is(site: Path) -> None:
    one = run("epochs=1", name="one")
    environment = one.environment() | {"plugins": {"odd": "1.2"}, "code": {"odd": {"odd_block.py": "of another day"}}}
    (one.path / "env.json").write_text(json.dumps(environment))
    assert measured(one.path).written == one.path / "eval" / "tiny-test.json"


def test_a_report_neither_stores_nor_reads_the_outputs_of_other_code(site: Path) -> None:
    one = run("model.block=odd", "epochs=1", name="one")
    rewrite(site, ZERO)
    wrong = rc.report(str(one.path), quick=True)
    assert not (one.path / "report").exists()
    rewrite(site)
    right = rc.report(str(one.path), quick=True)
    assert right.accuracy.loss != wrong.accuracy.loss
    assert any((one.path / "report").iterdir())
    rewrite(site, ZERO)
    assert rc.report(str(one.path), quick=True).accuracy == wrong.accuracy
