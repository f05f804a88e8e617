"""The facts of a training come one by one, and wrong arguments raise before the first."""

import signal
from pathlib import Path

import pytest
from support.compressed import make_deep_run
from support.datasets import tiny

import resnetctl as rc
from resnetctl import stream
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.loop import StepResult
from resnetctl.errors import ConfigError, UsageError
from resnetctl.facts import EpochTimed, Finished, Started
from resnetctl.system import settings


def test_a_training_gives_its_facts_while_it_works() -> None:
    tiny(settings.load().data_dir)
    facts = list(rc.stream.train(data="tiny", arch="resnet20", epochs=2, name="one"))
    kinds = [type(fact).__name__ for fact in facts]
    assert isinstance(facts[-1], Finished)
    assert [kind for kind in kinds if kind in ("Started", "EpochTimed")] == ["Started", "EpochTimed", "EpochTimed"]
    assert "StepResult" in kinds
    resumed = list(rc.stream.resume("one", 3))
    assert sum(isinstance(fact, EpochTimed) for fact in resumed) == 1
    tuned = list(rc.stream.finetune("one", data="tiny", epochs=1, name="two"))
    assert sum(isinstance(fact, Started) for fact in tuned) == 1
    assert [run.path.name for run in rc.runs()] == ["one", "two"]


def test_the_config_of_a_finetune_run_is_for_finetune() -> None:
    tiny(settings.load().data_dir)
    rc.train(data="tiny", arch="resnet20", epochs=1, name="one")
    config = str(rc.finetune("one", data="tiny", epochs=1, name="two").path / "config.toml")
    with pytest.raises(ConfigError) as caught:
        rc.train(config=config)
    assert f"rc.finetune(config={config!r})" in str(caught.value)
    again = rc.finetune(config=config, name="again")
    assert again.path.name == "again"


def test_compressing_gives_its_facts_and_its_report_last(monkeypatch: pytest.MonkeyPatch) -> None:
    make_deep_run(monkeypatch)
    *facts, report = rc.stream.compress("first", name="small", keep_blocks=[2, 1], finetune="1epoch")
    assert any(isinstance(fact, Finished) for fact in facts)
    assert report.run == settings.load().runs_dir / "small"
    assert rc.compress("small", name="less", keep_blocks=[1, 1], progress=False).cut.before == (2, 1)
    assert rc.compress("small", out="less.safetensors", keep_blocks=[1, 1]).run is None
    with pytest.raises(UsageError, match="finetune makes a run"):
        rc.compress("small", out="more.safetensors", keep_blocks=[1, 1], finetune="1epoch")


def test_a_wrong_argument_raises_when_the_function_is_called() -> None:
    with pytest.raises(UsageError, match="unknown argument 'epoch'"):
        rc.stream.train(data="tiny", epoch=1)
    with pytest.raises(UsageError, match="unknown argument 'epoch'"):
        rc.stream.finetune(data="tiny", epoch=1)


def test_the_name_of_an_argument_in_set_is_told_its_key_and_works_as_an_argument() -> None:
    with pytest.raises(ConfigError) as caught:
        rc.stream.train(set={"arch": "resnet20", "optimizer": "adamw"})
    assert caught.value.problems == (
        "arch: unknown key (set); did you mean 'model.arch'?",
        "optimizer: unknown key (set); did you mean 'optim.name'?",
    )
    assert stream.keywords(TrainConfig, {"optimizer": "adamw"}).values == {"optim.name": "adamw"}


def test_a_path_may_stand_for_text() -> None:
    layer = stream.keywords(TrainConfig, {"teacher": Path("net.safetensors"), "lr": 0.1})
    assert layer.values == {"distill.teacher": "net.safetensors", "lr": 0.1}


def test_several_processes_are_started_from_a_shell() -> None:
    with pytest.raises(UsageError, match="this process trains alone") as caught:
        rc.stream.train(data="digits", processes=2)
    assert "resnetctl train --processes 2" in str(caught.value)


def test_arguments_of_a_block_and_classes_are_told_the_way() -> None:
    with pytest.raises(UsageError, match="the arguments of a block are config keys") as caught:
        rc.train(data="digits", block="basic", block_args={"shortcut": "B"})
    assert "set={'model.block_args.NAME': 'VALUE'}" in str(caught.value)
    with pytest.raises(UsageError, match="block takes the name of what a plugin registers, not a class"):
        rc.train(data="digits", block=dict)


def test_a_dry_run_is_told_the_command() -> None:
    with pytest.raises(UsageError, match="a dry run is a command only") as caught:
        rc.train(data="digits", dry_run=True)
    assert "in a shell: resnetctl train --data digits --dry-run" in str(caught.value)
    assert "rc.bench(data='digits')" in str(caught.value)


def test_several_seeds_are_told_the_sweep() -> None:
    with pytest.raises(UsageError, match="several seeds are a group of runs") as caught:
        rc.train(data="digits", epochs=2, seeds=3)
    assert "rc.sweep(FILE)" in str(caught.value)
    assert "in a shell: resnetctl train --data digits --epochs 2 --seeds 3" in str(caught.value)


@pytest.mark.parametrize(
    ("signum", "kind"), [(signal.SIGINT, rc.errors.Interrupted), (signal.SIGTERM, rc.errors.Stopped)]
)
def test_a_signal_saves_the_run_and_only_that_of_ctrl_c_ends_a_loop(
    signum: signal.Signals, kind: type[BaseException]
) -> None:
    tiny(settings.load().data_dir)
    facts = rc.stream.train(data="tiny", arch="resnet20", epochs=2, name="one")
    next(fact for fact in facts if isinstance(fact, StepResult))
    signal.raise_signal(signum)
    with pytest.raises(kind) as caught:
        list(facts)
    assert isinstance(caught.value, KeyboardInterrupt) == (signum == signal.SIGINT)
    assert isinstance(caught.value, Exception) == (signum == signal.SIGTERM)
    assert "everything is saved" in str(caught.value)
    assert "rc.resume('runs/one')" in str(caught.value)
    assert rc.resume("one").summary["epochs"] == 2
