"""Functions that train."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.datasets import tiny

import resnetctl as rc
from resnetctl.errors import ConfigError, InputError, ResnetctlWarning, UsageError
from resnetctl.facts import Finished
from resnetctl.hints import Setting
from resnetctl.system import settings


def test_finetune_starts_from_a_run_object(run) -> None:
    tiny(settings.load().data_dir, "other", classes=("a", "b"), train=20, test=4)
    assert rc.finetune(run, data="other", epochs=1, name="two").summary["data"] == "other"


def test_out_chooses_the_folder_of_a_finetune_run(run) -> None:
    tiny(settings.load().data_dir, "other", classes=("a", "b"), train=20, test=4)
    assert rc.finetune(run, data="other", epochs=1, name="two", out="elsewhere").path == Path("elsewhere/two")


def test_the_origin_of_a_value_names_its_argument(run) -> None:
    sources = json.loads((run.path / "config.sources.json").read_text())
    assert sources["epochs"] == "argument epochs"


def test_resume_goes_on_with_a_run(run) -> None:
    assert rc.resume(run, epochs=3).summary["epochs"] == 3
    assert rc.resume("one").summary["epochs"] == 3  # finished: nothing is done
    with pytest.raises(InputError, match="no run 'two'"):
        rc.resume("two")


def test_runs_lists_every_run_although_a_module_has_this_name(run, tmp_path: Path) -> None:
    (found,) = rc.runs()
    assert (found.path, found.summary) == (run.path, run.summary)
    with pytest.raises(InputError, match="no such folder"):
        rc.runs(tmp_path / "none")
    import resnetctl.runs

    assert resnetctl.runs() == [found]
    code = "import resnetctl as rc; print([item.path.name for item in rc.runs()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['one']\n"


def test_an_unknown_argument_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown argument 'epoch'") as caught:
        rc.train(data="tiny", epoch=1)
    assert "epochs" in caught.value.hint[0]
    with pytest.raises(UsageError, match="unknown argument 'momentum'") as caught:
        rc.train(data="tiny", momentum=0.8)
    assert caught.value.hint == (Setting("set", {"optim.momentum": 0.8}),)


@pytest.mark.parametrize("trial", [rc.find_lr, rc.bench])
def test_what_writes_no_run_has_no_arguments_of_one(trial: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="nothing is kept here, so there is no 'name'"):
        trial(data="tiny", name="x")


def test_torch_is_left_as_it_was(run) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(3)
    try:
        rc.resume(run, epochs=3)
        rc.evaluate(run)
        assert torch.get_num_threads() == 3
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


def test_a_budget_is_a_time_or_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.tasks import train

    requests = []
    monkeypatch.setattr(
        train, "train", lambda draft, machine: (requests.append(draft.request), [Finished(run=Path(), summary={})])[1]
    )
    rc.train(data="tiny", budget="1h30min", tune=True)
    rc.train(data="tiny", budget=90)
    assert [(item.budget, item.tune) for item in requests] == [(5400.0, True), (90.0, False)]
    with pytest.raises(UsageError, match="budget should be a time such as"):
        rc.train(data="tiny", budget="soon")


def test_bench_returns_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.tasks.bench import bench

    def task(draft, machine, *, compiled):
        yield "a fact"
        return draft.asked.values, compiled

    monkeypatch.setattr(bench, "bench", task)
    for progress in (None, True, False):
        assert rc.bench(arch="resnet56", compiled=True, progress=progress) == ({"model.arch": "resnet56"}, True)
    with pytest.raises(UsageError, match="unknown argument"):
        rc.bench(speed=3)


def test_find_lr_takes_progress_and_returns_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.tasks import train

    def task(draft, machine):
        yield "a fact"
        return draft.asked.values

    monkeypatch.setattr(train, "find_lr", task)
    for progress in (None, True, False):
        assert rc.find_lr(data="digits", progress=progress) == {"data": "digits"}


def test_a_sweep_shows_the_epochs_of_each_run_unless_it_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    tiny(settings.load().data_dir)
    Path("lr.toml").write_text('seeds = 2\n[config]\ndata = "tiny"\nepochs = 1\n[vary]\nlr = [0.1]\n')
    rc.sweep("lr.toml", name="silent", progress=False)
    assert "epoch" not in capsys.readouterr().err
    rc.sweep("lr.toml", name="shown", progress=True)
    assert capsys.readouterr().err.count("epoch 1/1") == 2


def test_notices_are_warnings_at_the_line_of_the_caller(run) -> None:
    (run.path / "summary.json").unlink()
    with pytest.warns(ResnetctlWarning, match="not finished") as caught:
        rc.evaluate(run)
    assert caught[0].filename == __file__


def test_train_points_to_resume() -> None:
    with pytest.raises(UsageError) as caught:
        rc.train(resume="last")
    assert "rc.resume('last')" in str(caught.value)


def test_a_sweep_returns_its_report_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)
    Path("lr.toml").write_text('seeds = 2\n[config]\ndata = "tiny"\nepochs = 1\n[vary]\nlr = [0.1, 0.01]\n')
    report = rc.sweep("lr.toml")
    assert report.states["finished"] == 4
    assert [len(setting.seeds) for setting in report.settings] == [2, 2]
    assert report.settings[1].against_best is not None
    assert "<svg" in report.plot()._repr_html_()
    assert "lr 0.1" in report._repr_html_()
    assert rc.sweep("lr", progress=False) == report
    assert rc.sweep("lr.toml", progress=False) == report  # the file has nothing to add
    Path("lr.toml").write_text('seeds = 2\n[config]\ndata = "tiny"\nepochs = 2\n[vary]\nlr = [0.1, 0.01]\n')
    with pytest.raises(ConfigError, match="the group has other runs than the file"):
        rc.sweep("lr.toml", progress=False)
    with pytest.raises(InputError, match="no group"):
        rc.sweep("other")
