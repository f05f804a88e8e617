"""A run shows its summary and its epochs in Python and in a notebook."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.datasets import tiny

import resnetctl as rc
from resnetctl.errors import InputError, UsageError
from resnetctl.run import History, Run
from resnetctl.runs import RunDir
from resnetctl.system import settings


@pytest.fixture
def run() -> Run:
    tiny(settings.load().data_dir)
    return rc.train(data="tiny", arch="resnet20", epochs=2, set={"model.block_args": {"shortcut": "B"}}, name="one")


def test_a_run_has_its_history_and_a_readable_table(run: Run) -> None:
    assert [epoch["epoch"] for epoch in run.history] == [1, 2]
    assert {"lr", "train_loss", "val_top1"} <= set(run.history[0])
    table = run._repr_html_()
    assert "<caption>run one</caption>" in table
    assert re.search(r"<th>best epoch</th><td>[12]</td>", table)
    assert re.search(r"<th>val accuracy of the best epoch</th><td>[\d.]+%</td>", table)
    if find_spec("pandas") is None:
        with pytest.raises(UsageError, match=r"pandas is not installed\n  try  pip install pandas"):
            run.history.to_pandas()
    else:
        assert run.history.to_pandas().shape[0] == 2


def test_the_history_of_a_run_is_that_of_its_file(run: Run) -> None:
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert run.history == [json.loads(line) for line in lines]
    assert isinstance(run.history, History)


def test_an_unfinished_run_has_its_epochs_and_no_summary(run: Run) -> None:
    (run.path / "summary.json").unlink()
    (found,) = rc.runs()
    assert found.summary == {}
    assert len(found.history) == 2
    table = found._repr_html_()
    assert "<caption>run one</caption>" in table
    assert "<tr><th>status</th><td>unfinished</td></tr>" in table
    assert "<tr><th>epochs</th><td>2 of 2</td></tr>" in table
    assert re.search(r"<th>val accuracy of the last epoch</th><td>[\d.]+%</td>", table)
    assert "<td>rc.resume(&#x27;runs/one&#x27;)</td>" in table
    with RunDir(run.path).locked():
        assert "<td>running</td>" in found._repr_html_()


def test_all_runs_are_those_of_groups_too(run: Run) -> None:
    (group := run.path.parent / "five" / "queue").mkdir(parents=True)
    (group.parent / "sweep.json").write_text("{}")
    shutil.copytree(run.path, group.parent / "0-seed0")
    assert [found.caption for found in rc.runs()] == ["run five/0-seed0", "run one"]


def test_a_run_is_a_path(run: Run) -> None:
    assert Path(run) == run.path


def test_equal_runs_have_equal_hashes(run: Run) -> None:
    (same,) = rc.runs()
    other = Run(path=run.path.parent / "other", summary={})
    assert same == run
    assert {same: 1, other: 2}[run] == 1
    assert {same, run, other} == {run, other}


def test_a_run_prints_its_folder_and_its_figures(run: Run) -> None:
    kept = run.summary["best"]
    figures = f"val_top1={kept['val_top1']:.4g}, val_loss={kept['val_loss']:.4g}"
    assert repr(run) == f"Run('{run.path}', {figures}, epochs={run.summary['epochs']})"
    assert repr(Run(path=run.path, summary={})) == f"Run('{run.path}', unfinished)"


def test_the_curves_of_a_run_are_drawings_and_files(run: Run, tmp_path: Path) -> None:
    curves = run.plot()
    assert list(curves) == ["loss.svg", "accuracy.svg", "learning-rate.svg", "speed.svg"]
    assert curves._repr_html_().count("<svg") == 4
    paths = curves.write(tmp_path / "new" / "curves")
    for path in paths:
        drawing = ElementTree.parse(path).getroot()
        assert drawing.tag.endswith("svg")
        words = "".join(drawing.itertext())
        assert "epoch" in words
    assert "val" in paths[0].read_text()


def test_a_curve_needs_two_epochs(run: Run) -> None:
    short = rc.train(data="tiny", arch="resnet20", epochs=1, name="short")
    with pytest.raises(UsageError, match="a curve needs two epochs"):
        short.plot()


def test_a_folder_of_runs_that_does_not_exist_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        rc.runs(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert rc.runs(tmp_path / "empty") == []
