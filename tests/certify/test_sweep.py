"""A sweep whose workers are killed ends with the bytes of runs that nobody disturbed, and trains none twice."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from support.certification import SETS, Bench, report
from support.several import PROGRAM, environment, is_alive, kill, run, start, until

from resnetctl.runs.group import Group

FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
SWEEP = """seeds = 3
[config]
data = "tiny"
epochs = 8
model.arch = "nano"
"""


def queue(bench: Bench) -> Path:
    """Write the group `g` of three seeds into a new room, and return the room."""
    cwd = bench.room()
    (cwd / "g.toml").write_text(SWEEP)
    done = run(bench, cwd, ["sweep", "g.toml", "--queue-only"])
    assert done.code == 0, done.output
    return cwd


def group(cwd: Path) -> Group:
    return Group(cwd / "runs" / "g")


def epochs(cwd: Path) -> int:
    """Return how many epochs all runs of the group have logged."""
    logs = (group(cwd).path / name / "metrics.jsonl" for name in group(cwd).names())
    return sum(log.read_bytes().count(b"\n") for log in logs if log.exists())


def check_bytes(bench: Bench, cwd: Path) -> None:
    """Compare every run of the group with the same run on its own."""
    for seed, name in enumerate(group(cwd).names()):
        weights, metrics = bench.reference(("epochs=8", f"seed={seed}"))
        made = group(cwd).run(name)
        # the digest of the config is in the weights: the runs are the same experiment
        assert made.weights.read_bytes() == weights
        assert (made.path / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=FULL)])
def test_a_worker_that_is_killed_loses_nothing(bench: Bench, kills: int) -> None:
    cwd, dice, killed = queue(bench), random.Random(kills), 0
    while killed < kills:
        before = epochs(cwd)
        worker = start(bench, cwd, ["sweep", "work", "g"])
        target = before + dice.randrange(1, 3)
        until(lambda: epochs(cwd) >= target or worker.poll() is not None)  # noqa: B023
        if worker.poll() is not None:
            break  # the group is finished
        time.sleep(dice.uniform(0, 0.05))
        kill(worker.pid, "SIGKILL")
        worker.wait()
        killed += 1
    done = run(bench, cwd, ["sweep", "work", "g"])
    assert done.code == 0, done.output
    check_bytes(bench, cwd)
    report("S5 a worker of a sweep of 3 seeds, killed", kills=killed, identical=3)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=FULL)])
def test_workers_share_a_group_and_train_no_run_twice(bench: Bench, workers: int) -> None:
    cwd = queue(bench)
    processes: list[tuple[subprocess.Popen[bytes], Path]] = []
    for number in range(workers):
        log = cwd / f"worker{number}.txt"
        with log.open("wb") as output:
            words = [*PROGRAM, "sweep", "work", "g"]
            processes.append(
                (subprocess.Popen(words, cwd=cwd, env=environment(bench), stdout=output, stderr=output), log)
            )
    for process, log in processes:
        assert process.wait(timeout=240) == 0, log.read_text()
        assert not is_alive(process.pid)
    began = [line for _, log in processes for line in log.read_text().splitlines() if line.startswith("run ")]
    assert sorted(line.split(": ")[1] for line in began) == group(cwd).names()
    check_bytes(bench, cwd)
    report("S6 workers on one group", workers=workers, runs=3, twice=0)


def test_a_worker_that_gets_sigterm_leaves_its_run_to_the_next(bench: Bench) -> None:
    cwd = queue(bench)
    worker = start(bench, cwd, ["sweep", "work", "g"])
    until(lambda: epochs(cwd) >= 2 or worker.poll() is not None)
    kill(worker.pid, "SIGTERM")
    assert worker.wait(timeout=60) in (0, 143)
    done = run(bench, cwd, ["sweep", "work", "g"])
    assert done.code == 0, done.output
    assert "goes on" in done.output
    check_bytes(bench, cwd)
    assert SETS == ("model.arch=nano", "data=tiny")
