"""T1, T2, T3: a run that is killed at any instant, or fails at any durable call, ends with the same bytes."""

import os
import random
import shutil
import time

import pytest
from support.certification import ALWAYS, Bench, files, report
from support.faults import Fault

SETS = ("epochs=5",)
SHORT = ("epochs=2",)
DETECTOR = ("data=scenes", "model.head=tiny_det", "batch_size=4", "epochs=4", "lr=0.003")
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS")
FULL = (pytest.mark.certify, pytest.mark.timeout(7200))


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=FULL)])
def test_t1_a_run_killed_at_any_instant_ends_with_the_same_bytes(bench: Bench, runs: int) -> None:
    """Kill each run three times at random. One run in ten is a new process; half write a checkpoint every step."""
    dice, kills, began = random.Random(runs), 0, time.monotonic()
    bench.reference(SETS)
    whole = bench.train(cwd := bench.room(), SETS)
    assert files(cwd) == bench.reference(SETS)
    for number in range(runs):
        cwd, fresh, patch = bench.room(), number % 10 == 9, ALWAYS if number % 2 else {}
        # a real process loads torch first, which takes seconds: a third of the kills come before any step
        span = 4.0 if fresh else whole.seconds
        kills_wanted = dice.choice((3, 4)) if runs > 20 else 3
        for _ in range(kills_wanted):
            pause = dice.uniform(0.02, 0.5) * span
            done = bench.train(cwd, SETS, send=((pause, "SIGKILL"),), fresh=fresh, patch=patch)
            assert done.code in (-9, 0), done.output
            kills += done.code == -9
        bench.finish(cwd, SETS)
        shutil.rmtree(cwd)
    report("T1", runs=runs, kills=kills, identical=runs, seconds=round(time.monotonic() - began))
    assert kills >= runs * 2


@pytest.mark.parametrize("kills", [5, pytest.param(int(os.environ.get("RESNETCTL_CERTIFY_KILLS", "50")), marks=FULL)])
def test_t1_a_detector_killed_at_any_instant_ends_with_the_same_bytes(bench: Bench, kills: int) -> None:
    """Kill a run with a head up to five times, resume it, and begin another one, until there were so many kills."""
    dice, killed, runs, began = random.Random(kills), 0, 0, time.monotonic()
    whole = bench.train(bench.room(), DETECTOR)
    assert whole.code == 0, whole.output
    while killed < kills:
        cwd, patch = bench.room(), ALWAYS if runs % 2 == 0 else {}
        for _ in range(min(5, kills - killed)):
            pause = dice.uniform(0.05, 0.6) * whole.seconds
            done = bench.train(cwd, DETECTOR, send=((pause, "SIGKILL"),), patch=patch)
            assert done.code in (-9, 0), done.output
            killed += done.code == -9
        bench.finish(cwd, DETECTOR)
        shutil.rmtree(cwd)
        runs += 1
    report("T1 head", kills=killed, runs=runs, identical=runs, seconds=round(time.monotonic() - began))


def every_call(bench: Bench, action: str, step: int, lasting: bool) -> tuple[int, int]:
    """Break the 1st, then the (1 + step)th durable call, until no fault fires. Return the runs and the last count."""
    runs, nth = 0, 1
    while True:
        cwd = bench.room()
        done = bench.train(cwd, SHORT, fault=Fault(nth, action, lasting=lasting))
        if done.code == 0 and done.calls is not None and done.calls < nth:
            return runs, done.calls
        runs += 1
        if action == "SIGKILL":
            assert done.code == -9
        else:
            assert done.code in (0, 1), done.output
            assert "Traceback" not in done.output
            assert "internal error" not in done.output
        bench.finish(cwd, SHORT)
        shutil.rmtree(cwd)
        nth += step


@pytest.mark.parametrize("action", ["SIGKILL", *ERRORS])
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=FULL)])
def test_t2_t3_a_fault_at_any_durable_call_changes_no_byte(bench: Bench, action: str, step: int) -> None:
    began = time.monotonic()
    runs, calls = every_call(bench, action, step if action == "SIGKILL" else step * (3 if step > 1 else 1), False)
    report("T2" if action == "SIGKILL" else "T3", action=action, runs=runs, calls=calls, step=step,
           seconds=round(time.monotonic() - began))  # fmt: skip
    assert runs >= calls // (step * 3)
    assert calls > 50


@pytest.mark.parametrize("action", ["ENOSPC", pytest.param("EIO", marks=FULL), pytest.param("EROFS", marks=FULL)])
@pytest.mark.parametrize("step", [31, pytest.param(4, marks=FULL)])
def test_t3_a_disk_that_stays_broken_changes_no_byte(bench: Bench, action: str, step: int) -> None:
    runs, _ = every_call(bench, action, step, True)
    report("T3 lasting", action=action, runs=runs)
    assert runs >= 2


def test_t3_a_transient_error_does_not_stop_the_run(bench: Bench) -> None:
    """EIO once while a checkpoint is fsynced: the run goes on and ends with the same bytes."""
    for nth in (13, 15):  # of the first epoch: the files of the weights and of the checkpoint
        done = bench.train(cwd := bench.room(), SHORT, fault=Fault(nth, "EIO", call="fsync"))
        assert (done.code, files(cwd) == bench.reference(SHORT)) == (0, True), done.output


def test_t3_a_full_disk_is_one_clear_error(bench: Bench) -> None:
    done = bench.train(cwd := bench.room(), SHORT, fault=Fault(12, "ENOSPC", call="write", lasting=True))
    assert done.code == 1
    assert "No space left on device" in done.output
    assert "free some space, then run the command again" in done.output
    bench.finish(cwd, SHORT)


@pytest.mark.certify
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [20])
def test_t1_compress_killed_at_random_moments_ends_with_the_same_bytes(bench: Bench, kills: int) -> None:
    """The network is cut, then trained with the whole one as teacher; the same command goes on after each kill."""
    start = ["train", "--name", "whole", "--set", "model.arch=deep", "--set", "data=tiny", "--set", "epochs=1"]
    command = ["compress", "whole", "--keep-blocks", "1,1", "--finetune", "4epochs", "--name", "r"]
    quick = {"resnetctl.compress.latency:SECONDS": 0.1}
    cwd = bench.room()
    assert bench.shop.run(*start, cwd=cwd).code == 0
    shutil.copytree(cwd, again := bench.folder / "compressed", symlinks=True)
    whole = bench.shop.run(*command, cwd=again, patch=quick)
    assert whole.code == 0, whole.output
    dice, left = random.Random(kills), kills
    while left:
        shutil.copytree(cwd, other := bench.folder / f"kill{left}", symlinks=True)
        published = other / "runs" / "r" / "config.toml"
        while not published.exists():  # a kill may come between the end of the work and that of the process
            send = ((dice.uniform(0.05, 0.9) * whole.seconds, "SIGKILL"),) if left else ()
            code = (done := bench.shop.run(*command, cwd=other, patch=quick | ALWAYS, send=send)).code
            assert code in (-9, 0), done.output
            left -= code == -9
        assert files(other) == files(again)
        shutil.rmtree(other)
    report("T1 compress", kills=kills, seconds=round(whole.seconds))


@pytest.mark.certify
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [int(os.environ.get("RESNETCTL_CERTIFY_GOAL_KILLS", "20"))])
def test_t1_a_goal_of_compress_with_int8_killed_at_random_moments_ends_with_the_same_bytes(
    bench: Bench, kills: int
) -> None:
    """Blocks go, the whole network teaches, and the file is quantised; no time decides."""
    start = ["train", "--name", "whole", "--set", "model.arch=deep", "--set", "data=tiny", "--set", "epochs=1"]
    command = ["compress", "whole", "--keep-blocks", "1,1", "--int8", "--max-drop", "100"]
    command += ["--finetune", "4epochs", "--name", "r"]
    quick = {"resnetctl.compress.latency:SECONDS": 0.2, "resnetctl.compress.int8:SLOW": 0.0}
    cwd = bench.room()
    assert bench.shop.run(*start, cwd=cwd).code == 0

    def ended(folder: str) -> dict[str, bytes]:
        names = ("model.safetensors", "metrics.jsonl", "export/model.onnx", "export/model-int8.onnx")
        return {name: (bench.folder / folder / "runs/r" / name).read_bytes() for name in names}

    shutil.copytree(cwd, bench.folder / "int8", symlinks=True)
    whole = bench.shop.run(*command, cwd=bench.folder / "int8", patch=quick)
    assert whole.code == 0, whole.output
    dice, left, began = random.Random(kills), kills, time.monotonic()
    while left:
        shutil.copytree(cwd, other := bench.folder / f"int8-{left}", symlinks=True)
        while not (other / "runs" / "r" / "config.toml").exists():
            send = ((dice.uniform(0.05, 0.95) * whole.seconds, "SIGKILL"),) if left else ()
            code = (done := bench.shop.run(*command, cwd=other, patch=quick | ALWAYS, send=send)).code
            assert code in (-9, 0), done.output
            assert "Traceback" not in done.output
            left -= code == -9
        assert ended(other.name) == ended("int8")
        shutil.rmtree(other)
    report("T1 compress, int8", kills=kills, seconds=round(time.monotonic() - began))


@pytest.mark.certify
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [int(os.environ.get("RESNETCTL_CERTIFY_GOAL_KILLS", "12"))])
def test_t1_a_goal_of_compress_stopped_at_random_moments_ends_with_the_same_bytes(bench: Bench, kills: int) -> None:
    """The goal is a size and a student competes, so no time decides. Both trainings end with the same bytes."""
    start = ["train", "--name", "whole", "--set", "model.arch=deep", "--set", "data=tiny", "--set", "epochs=1"]
    command = ["compress", "whole", "--size", "1MB", "--max-drop", "100", "--student", "nano"]
    command += ["--finetune", "4epochs", "--name", "r"]
    quick = {"resnetctl.compress.latency:SECONDS": 0.2}
    cwd = bench.room()
    assert bench.shop.run(*start, cwd=cwd).code == 0

    def ended(folder: str) -> dict[str, bytes]:
        return {
            stage: (bench.folder / folder / "runs/r/stages" / stage / "model.safetensors").read_bytes()
            for stage in ("1-cut", "2-finetune", "student", "student-finetune")
        }

    shutil.copytree(cwd, bench.folder / "goal", symlinks=True)
    whole = bench.shop.run(*command, cwd=bench.folder / "goal", patch=quick)
    assert whole.code == 0, whole.output
    dice, left = random.Random(kills), kills
    while left:
        shutil.copytree(cwd, other := bench.folder / f"goal{left}", symlinks=True)
        while not (other / "runs" / "r" / "config.toml").exists():
            name = dice.choice(("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"))
            send = ((dice.uniform(0.05, 0.9) * whole.seconds, name),) if left else ()
            code = (done := bench.shop.run(*command, cwd=other, patch=quick | ALWAYS, send=send)).code
            assert code in (-9, 130, 143, 0), done.output
            assert "Traceback" not in done.output
            left -= code != 0
        assert ended(other.name) == ended("goal")
        published = (other / "runs/r/model.safetensors").read_bytes()
        assert published in (ended("goal")["2-finetune"], ended("goal")["student-finetune"])
        assert list((other / "runs").rglob("pareto.svg")) == [other / "runs/r/pareto.svg"]
        shutil.rmtree(other)
    report("T1 compress, goal", kills=kills, seconds=round(whole.seconds))
