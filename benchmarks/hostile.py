"""Hostile inputs: what each one costs, and how the command ends. Writes `hostile.md` beside this file.

    python benchmarks/hostile.py [--every 1] [--family images] [--seed 0] [--out benchmarks/hostile.md]

Every input is made from a seed. Each runs in a process of its own, forked from one that has loaded everything, in an
empty folder. A case holds when the command ends with a documented exit code in less than 2 s of CPU and 300 MB above
an idle process, prints neither a traceback nor a control character, and writes nothing outside its store, its runs
folder and its output. The script ends with 1 when a case does not hold. Linux only (fork, resource limits).
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from hostile_inputs import FAMILIES, Case

CPU, MEGABYTES, HANGS = 2.0, 300, 20  # the limits, and seconds after which a process is killed
CODES = {0, 1, 2, 3, 4, 5}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
OURS = ("store", "runs", "out")  # folders of a case in which a command may write


@dataclass
class Outcome:
    """How one command ended. `faults` is empty if the case holds."""

    case: Case
    code: int
    cpu: float
    megabytes: float
    text: str
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Run the cases, print the faults, and write the page."""
    parser = argparse.ArgumentParser(description="hostile inputs")
    parser.add_argument("--every", type=int, default=1, help="run only each N-th case")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="run only this family")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--any-cpu", action="store_true", help="accept any CPU time, on a busy machine")
    parser.add_argument("--out", type=Path, help="file to write; without it, the page is printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        outcomes = [*_outcomes(Path(folder), options)]
    page = _page(outcomes)
    if options.out:
        options.out.write_text(page, encoding="utf-8")
    print(page)
    return int(any(outcome.faults for outcome in outcomes))


def _outcomes(folder: Path, options: argparse.Namespace) -> Iterator[Outcome]:
    _prepare(folder)
    idle = _run(folder / "idle", Case("idle", "idle", lambda root: ["--version"])).megabytes
    for name, make in FAMILIES.items():
        if options.family in (None, name):
            for number, case in enumerate(make(options.seed)):
                if number % options.every == 0:
                    place = folder / f"{name}-{number}" / "a" / "b" / "c"  # room for names that climb up
                    outcome = _run(place, case)
                    outcome.megabytes = max(outcome.megabytes - idle, 0)
                    _judge(outcome, cpu=float("inf") if options.any_cpu else CPU)
                    shutil.rmtree(folder / f"{name}-{number}", ignore_errors=True)
                    _tell(outcome)
                    yield outcome


def _prepare(folder: Path) -> None:
    """Load everything that the commands need, and make the models and runs that the cases damage."""
    import hostile_inputs
    import onnxruntime  # noqa: F401
    import torch

    import resnetctl.cli.app  # noqa: F401

    torch.set_num_threads(1)
    os.environ |= {"RESNETCTL_THREADS": "1", "COLUMNS": "120", "RESNETCTL_PLUGINS": ""}
    print("making the sound files ...", flush=True)
    child = os.fork()
    if child == 0:
        printed = os.open(folder / "printed", os.O_CREAT | os.O_WRONLY)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        hostile_inputs.prepare(folder / "base")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the base files cannot be made"
    hostile_inputs.BASE = folder / "base"
    gc.collect()
    gc.freeze()  # a fork must not pay for collections of what PyTorch has loaded, which a new process does not have


def _run(root: Path, case: Case) -> Outcome:
    """Run one command in a new process and a new folder."""
    root.mkdir(parents=True)
    for name in (*OURS, "in"):
        (root / name).mkdir()
    arguments = case.make(root)
    before = _files(root)
    output = root / "out" / ".printed"
    child = os.fork()
    if child == 0:
        os._exit(_child(root, arguments, output))
    end, usage = _wait(child)
    text = output.read_text(encoding="utf-8", errors="surrogateescape") if output.exists() else ""
    code = os.waitstatus_to_exitcode(end)
    outcome = Outcome(case, code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)
    outside = sorted(_files(root) ^ before)
    if outside:
        outcome.faults.append(f"wrote outside: {outside[:3]}")
    return outcome


def _child(root: Path, arguments: list[str], output: Path) -> int:
    """Run the command line in this process. Returns its exit code."""
    from resnetctl.__main__ import main as command

    resource.setrlimit(resource.RLIMIT_CPU, (HANGS, HANGS))
    os.environ |= {"RESNETCTL_DATA_DIR": str(root / "store"), "RESNETCTL_RUNS_DIR": str(root / "runs")}
    os.chdir(root / "out")
    if (root / "in" / "site").exists():
        sys.path.insert(0, str(root / "in" / "site"))
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        with (
            redirect_stdout(io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8", "surrogateescape")) as stdout,
            redirect_stderr(io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), "utf-8", "surrogateescape")) as stderr,
        ):
            code = command(arguments)
            stdout.flush()
            stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode(errors="replace"))
        code = 99
    return code or 0


def _wait(child: int) -> tuple[int, resource.struct_rusage]:
    """Wait for a process; kill it when it sleeps for too long."""
    end = time.monotonic() + 2 * HANGS
    while time.monotonic() < end:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return status, usage
        time.sleep(0.01)
    os.kill(child, 9)
    _, status, usage = os.wait4(child, 0)
    return status, usage


def _files(root: Path) -> set[str]:
    """Return every path in the case's folders and in the three above, except where a command may write."""
    top = root.parents[2] if root.name == "c" else root
    skipped = {str(root / name) for name in OURS}
    paths = set()
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
        paths |= {os.path.join(folder, name) for name in (*folders, *names)}
    return {path for path in paths if not path.endswith((".pyc", "__pycache__"))}


def _judge(outcome: Outcome, *, cpu: float) -> None:
    if outcome.code not in CODES:
        outcome.faults.append(f"exit code {outcome.code}")
    if "Traceback" in outcome.text or "internal error" in outcome.text:
        outcome.faults.append("internal error")
    if CONTROL.search(outcome.text):
        outcome.faults.append("a control character reached the screen")
    if outcome.cpu >= cpu * outcome.case.weight:
        outcome.faults.append(f"{outcome.cpu:.1f} s of CPU")
    if outcome.megabytes >= MEGABYTES:
        outcome.faults.append(f"{outcome.megabytes:.0f} MB")


def _tell(outcome: Outcome) -> None:
    """Print a case that does not hold."""
    if outcome.faults:
        shown = outcome.text.strip().replace("\n", " | ")[:400]
        print(f"{outcome.case.family}: {outcome.case.name}: {'; '.join(outcome.faults)}: {shown!r}", flush=True)


def _page(outcomes: list[Outcome]) -> str:
    """Return the page as Markdown."""
    options = [word for word in sys.argv[1:] if not word.endswith(".md") and word != "--out"]
    rows = []
    for family in dict.fromkeys(outcome.case.family for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.case.family == family]
        codes = Counter(outcome.code for outcome in own)
        told = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
        cpu, memory = max(outcome.cpu for outcome in own), max(outcome.megabytes for outcome in own)
        faults = sum(bool(outcome.faults) for outcome in own)
        rows.append(f"| {family} | {len(own)} | {told} | {cpu:.2f} s | {memory:.0f} MB | {faults} |")
    count: Callable[[str], int] = lambda word: sum(word in " ".join(one.faults) for one in outcomes)  # noqa: E731
    return (
        f"""# Hostile inputs

Made by `python benchmarks/hostile.py{" ".join(["", *options])}`; do not edit.

{len(outcomes)} inputs, each in a process of its own:
**{count("internal error")} internal errors or tracebacks, {count("wrote outside")} writes outside the folders of the
command, {count("s of CPU")} over {CPU:g} s of CPU, {count(" MB")} over {MEGABYTES} MB, {count("control character")}
with control characters on the screen, {count("exit code")} with an exit code that is not documented.**

CPU seconds and memory are the largest of the family. Memory is above an idle process that has loaded PyTorch and
onnxruntime. A command that imports plugins in other processes has more CPU time, for loading PyTorch there.

| family | inputs | exit codes (code: inputs) | CPU | memory | faults |
| --- | ---: | --- | ---: | ---: | ---: |
"""
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
