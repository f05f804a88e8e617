"""The worse runs of a group stop at each rung, and can be taken up again."""

import json
from pathlib import Path

import pytest
from support.datasets import tiny
from support.groups import grouped, worked
from support.tiny_runs import files
from support.tiny_runs import run as whole_run

from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.sweep import halving
from resnetctl.tasks.sweep.halving import rungs, survivors
from resnetctl.tasks.sweep.states import progress


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)


def test_halving_stops_the_worse_runs_and_finishes_the_best() -> None:
    group = grouped("epochs=4", seeds=4, halving=2)
    assert rungs(group, settings.load(), factor=2) == [1, 2, 0]
    worked(group)
    lengths = sorted(len(group.run(name).metrics()) for name in group.names())
    assert lengths == [1, 1, 2, 4]
    assert progress(group) == {"finished": 1, "failed": 0, "begun": 3, "waiting": 0}
    ranked = sorted(group.names(), key=lambda name: halving._rank(group, name, 1))
    assert survivors(group, [1], halving=2) == sorted(ranked[:2])
    assert group.run(survivors(group, [1, 2], halving=2)[0]).summary() is not None


def test_a_stopped_run_is_taken_up_again_exactly() -> None:
    group = grouped("epochs=4", seeds=4, halving=2)
    worked(group)
    name = next(name for name in group.names() if len(group.run(name).metrics()) == 1)
    list(resume(group.path / name, settings=settings.load()))
    assert files(group.run(name)) == files(whole_run("epochs=4", f"seed={name[-1]}", name="alone"))


@pytest.mark.parametrize(
    ("epochs", "seeds", "factor", "expected"),
    [
        (27, 9, 3, [3, 9, 0]),
        (9, 3, 3, [3, 0]),
        (2, 9, 3, [0]),
        (10, 2, 3, [0]),
        (100, 8, 2, [12, 25, 50, 0]),
    ],
)
def test_rungs_are_powers_below_the_length(epochs: int, seeds: int, factor: int, expected: list[int]) -> None:
    assert rungs(grouped(f"epochs={epochs}", seeds=seeds), settings.load(), factor=factor) == expected


def test_runs_with_a_head_are_ranked_by_their_own_number() -> None:
    group = grouped("epochs=4", seeds=2, halving=2)
    for name, numbers in zip(group.names(), ([0.2, 0.1], [0.1, 0.4]), strict=True):
        group.run(name).path.mkdir()
        lines = [{"epoch": epoch, "val_map50": number} for epoch, number in enumerate(numbers, start=1)]
        (group.run(name).path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = group.names()
    assert survivors(group, [1], halving=2) == [first]
    assert survivors(group, [2], halving=2) == [second]
