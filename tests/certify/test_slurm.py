"""A job of a real SLURM: preempted, requeued, resumed; and a signal to its step."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import slurm
from support.certification import Bench, report
from support.several import SHARDS, run, until, words

pytestmark = [
    pytest.mark.certify,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing()),
]
SETS = (*SHARDS, "epochs=60")
CONFIG = """data = "tiny"
epochs = 60
shards = 4
threads = 1
batch_size = 16
[model]
arch = "nano"
"""


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def cwd(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a batch script of two processes; jobs inherit this environment."""
    folder = bench.room()
    for name, value in bench.shop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    (folder / "run.toml").write_text(CONFIG)
    made = run(bench, folder, ["slurm", "run.toml", "--processes", "2", "--time", "20min", "--grace", "60"])
    assert made.code == 0, made.output
    (folder / "job.sh").write_text(made.output)
    return folder


def log(cwd: Path, job: str) -> str:
    path = cwd / f"run-{job}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def begun(cwd: Path, job: str) -> bool:
    """Return whether the run of a job has finished two epochs."""
    metrics = cwd / "runs" / f"run-{job}" / "metrics.jsonl"
    return metrics.exists() and metrics.read_bytes().count(b"\n") >= 2


def bytes_of(cwd: Path, job: str) -> tuple[bytes, bytes]:
    folder = cwd / "runs" / f"run-{job}"
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


def resumed(job: str) -> None:
    """Wait until the job was queued again, which SLURM does after two minutes, and has ended."""
    until(lambda: slurm.state(job) == "PENDING")
    until(lambda: slurm.state(job) == "RUNNING", 300)
    until(lambda: slurm.state(job) in ("COMPLETED", ""), 600)


def test_a_preempted_job_is_saved_and_requeued_and_ends_with_the_same_bytes(bench: Bench, cwd: Path) -> None:
    job = slurm.submit(cwd, "--partition", "low", "job.sh")
    until(lambda: begun(cwd, job))
    all_cores = ("--ntasks", str(os.cpu_count()))
    other = slurm.submit(cwd, "--partition", "high", *all_cores, "--time", "2", "--wrap", "sleep 2")
    until(lambda: "everything is saved" in log(cwd, job))
    until(lambda: slurm.state(other) in ("COMPLETED", ""))
    assert "Exited with exit code 143" in log(cwd, job), log(cwd, job)
    resumed(job)
    assert bytes_of(cwd, job) == bench.reference(SETS)
    report("S7 a preempted job of SLURM", code=143, requeued=True, identical=True)


def test_sigterm_to_a_step_saves_the_run_and_requeues_the_job(bench: Bench, cwd: Path) -> None:
    job = slurm.submit(cwd, "--partition", "low", "job.sh")
    until(lambda: begun(cwd, job))
    subprocess.run(["scancel", "--signal=TERM", f"{job}.0"], check=True)
    until(lambda: "everything is saved" in log(cwd, job))
    resumed(job)
    assert "Exited with exit code 143" in log(cwd, job), log(cwd, job)
    assert bytes_of(cwd, job) == bench.reference(SETS)
    report("S7 SIGTERM to a step of SLURM", code=143, requeued=True, identical=True)


def test_the_name_of_a_run_gives_a_script_that_resumes_it(bench: Bench, cwd: Path) -> None:
    done = run(bench, cwd, words(bench, cwd, 1, (*SHARDS, "epochs=2")))
    assert done.code == 0, done.output
    assert "--resume" in run(bench, cwd, ["slurm", "r"]).output
