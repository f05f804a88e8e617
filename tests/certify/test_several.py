"""Several real processes: the bytes of one, kills, signals, a full disk, and nobody left behind."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support import hosts
from support.certification import Bench, files, report
from support.several import (
    PROGRAM,
    SHARDS,
    TORCHRUN,
    Ended,
    children,
    is_alive,
    kill,
    lines,
    run,
    start,
    until,
    wait,
    words,
)

FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
LONG = (*SHARDS, "epochs=40")
DISK_FULL = """import sys
from support.faults import Fault, Hook
from resnetctl.__main__ import main
from pathlib import Path
import os
fault = Fault(30, "ENOSPC", lasting=True) if os.environ.get("RANK") == "0" else None
with Hook(Path.cwd(), fault).installed():
    sys.exit(main(sys.argv[1:]))
"""


def finish(bench: Bench, cwd: Path, sets: tuple[str, ...], processes: int = 1) -> None:
    """Resume to the end in so many processes, and compare with the run that one process did undisturbed."""
    done = run(bench, cwd, words(bench, cwd, processes, sets))
    assert done.code == 0, done.output
    assert files(cwd) == bench.reference(sets)


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param(("epochs=2",), id="plain"),
        pytest.param(
            ("epochs=2", "ema_decay=0.9", "model.dropout=0.3", "grad_clip=0.5"), marks=FULL, id="ema, dropout"
        ),
        pytest.param(("epochs=2", "accumulate=2", "optim.name=adamw", "lr=0.003"), marks=FULL, id="adamw"),
        pytest.param(("epochs=2", "batch_size=22"), marks=FULL, id="uneven tails"),
    ],
)
def test_one_two_and_four_processes_give_the_same_bytes(bench: Bench, sets: tuple[str, ...]) -> None:
    sets = (*SHARDS, *sets)
    for processes in (2, 4):
        finish(bench, bench.room(), sets, processes)
    report("S1 bytes of 1, 2 and 4 processes", sets=list(sets), equal=True)


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=FULL)])
def test_a_run_killed_at_two_processes_resumes_at_one_two_or_four(bench: Bench, kills: int) -> None:
    sets, dice = (*SHARDS, "epochs=20"), random.Random(kills)
    for number in range(kills):
        cwd = bench.room()
        process = start(bench, cwd, words(bench, cwd, 2, sets))
        target = dice.randrange(1, 17)
        until(lambda: lines(cwd) >= target or process.poll() is not None)  # noqa: B023
        workers = children(process.pid)
        kill((process.pid, *workers)[number % 3], "SIGKILL")
        wait(process, cwd)
        until(lambda: not any(map(is_alive, workers)))  # noqa: B023
        finish(bench, cwd, sets, (1, 2, 4)[number % 3])
    report("S2 kills at two processes, resumed at 1, 2 or 4", kills=kills, identical=kills)


def on_host(rank: int, addresses: dict[str, str], way: str) -> tuple[str, ...]:
    """Return the program that starts process `rank` of two in its own network namespace."""
    name, first = [*addresses][rank], next(iter(addresses.values()))
    port = "29517"
    variables = [f"GLOO_SOCKET_IFNAME={hosts.LINK[rank]}"]
    if way == "torchrun":
        options = ("--nnodes", "2", "--node-rank", str(rank), "--master-addr", first, "--master-port", port)
        program = (*TORCHRUN, "1", *options, "-m", "resnetctl")
    else:
        variables += [f"RANK={rank}", "WORLD_SIZE=2", "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1"]
        variables += [f"MASTER_ADDR={first}", f"MASTER_PORT={port}"]
        program = PROGRAM
    return ("ip", "netns", "exec", name, "env", *variables, *program)


@pytest.mark.certify
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(hosts.missing()), reason=hosts.missing())
@pytest.mark.parametrize("way", ["variables", "torchrun"])
def test_two_hosts_give_the_same_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    sets, folders = (*SHARDS, "epochs=2"), (bench.room(), bench.room())
    expected = bench.reference(sets)
    monkeypatch.setitem(bench.shop.environment, "RESNETCTL_RUNS_DIR", str(folders[0] / "runs"))
    with hosts.two_hosts() as addresses:
        processes = [
            start(bench, folder, bench.start(sets), on_host(rank, addresses, way))
            for rank, folder in enumerate(folders)
        ]
        ended = [wait(process, folder) for process, folder in zip(processes, folders, strict=True)]
    assert [one.code for one in ended] == [0, 0], ended
    assert files(folders[0]) == expected
    report("S8 two hosts", way=way, identical=True)


def stopped(bench: Bench, cwd: Path, program: tuple[str, ...], whom: str) -> Ended:
    """Start a long run, send SIGTERM to its launcher or to process 1, and return how it ended."""
    own = words(bench, cwd, 2, LONG) if not program else bench.start(LONG)
    process = start(bench, cwd, own, program) if program else start(bench, cwd, own)
    until(lambda: lines(cwd) >= 2 or process.poll() is not None)
    workers = children(process.pid)
    kill(process.pid if whom == "launcher" else workers[1], "SIGTERM")
    ended = wait(process, cwd)
    until(lambda: not any(map(is_alive, workers)))
    return ended


@pytest.mark.parametrize(
    ("name", "program", "code"),
    [
        ("launcher", (), 143),
        pytest.param("one process", (), 143, marks=FULL),
        pytest.param("launcher", (*TORCHRUN, "2", "-m", "resnetctl"), 1, marks=FULL, id="torchrun"),
    ],
)
def test_sigterm_saves_and_resumes(bench: Bench, name: str, program: tuple[str, ...], code: int) -> None:
    cwd = bench.room()
    ended = stopped(bench, cwd, program, name)
    assert ended.code == code, ended.output
    assert ended.output.count("everything is saved") == 1
    finish(bench, cwd, LONG)
    report("S3 SIGTERM", to=f"{name} of {'torchrun' if program else 'resnetctl'}", code=code, identical=True)


def test_a_full_disk_stops_all_processes_with_one_error(bench: Bench) -> None:
    cwd = bench.room()
    process = start(bench, cwd, ["-c", DISK_FULL, *words(bench, cwd, 2, LONG)], (sys.executable,))
    until(lambda: "No space left" in (cwd / "output.txt").read_text() or process.poll() is not None)
    workers = children(process.pid) if process.poll() is None else []
    ended = wait(process, cwd)
    assert ended.code == 1, ended.output
    assert ended.output.count("error: ") == 1, ended.output
    assert "No space left on device" in ended.output
    assert ended.seconds < 10
    assert not any(map(is_alive, workers))
    finish(bench, cwd, LONG)
    report("S4 full disk on process 0", seconds_after=round(ended.seconds, 1), errors=1, left=0)


def test_processes_started_differently_are_refused(bench: Bench) -> None:
    cwd, other = bench.room(), bench.room()
    port = str(20_000 + os.getpid() % 10_000)
    place = {"WORLD_SIZE": "2", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    before = dict(bench.shop.environment)
    processes: list[tuple[subprocess.Popen[bytes], Path]] = []
    for rank, (folder, sets) in enumerate([(cwd, LONG), (other, (*LONG, "lr=0.01"))]):
        bench.shop.environment.update(place | {"RANK": str(rank)})
        processes.append((start(bench, folder, bench.start(sets)), folder))
    bench.shop.environment.clear()
    bench.shop.environment.update(before)
    first, second = (wait(process, folder) for process, folder in processes)
    assert (first.code, second.code) == (2, 1), first.output + second.output
    assert "process 1 has other config than process 0" in first.output
    assert second.output == ""
    assert not (cwd / "runs").exists() or not (cwd / "runs" / "r").exists()
