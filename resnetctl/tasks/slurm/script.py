"""A batch script for SLURM that trains a run, saves it before its time is over, and goes on when the job runs again."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import resnetctl.runs as runs
from resnetctl.config.layers import from_file, resolve
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.config.shards import require_division
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.report.base import Report
from resnetctl.system.settings import Settings

SCRIPT = """#!/bin/bash
#SBATCH --job-name={job}
#SBATCH --nodes={nodes}
#SBATCH --ntasks={processes}
#SBATCH --cpus-per-task={threads}
{gpus}#SBATCH --time={minutes}
#SBATCH --signal=TERM@{grace}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={job}-%j.log

# {grace} s before the end, and when the job is preempted, every process gets SIGTERM: they save and exit with 143.
trap : TERM # this script gets it too, and waits for them
run={run}
if [ -e "$run/config.toml" ]; then
  srun {resume} "$run"
else
  srun {start} --name "${{run##*/}}" --out "${{run%/*}}"
fi
code=$?
# SLURM does not requeue a job that ends by itself in its grace time
if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
GPUS = "#SBATCH --gpus-per-node={}\n"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a job asks of SLURM: processes (0: one for each shard), nodes, seconds, seconds of grace, GPUs."""

    processes: int = 0
    nodes: int = 1
    time: float = 4 * 3600.0
    grace: int = 90
    gpus: bool = False


@dataclass(frozen=True, kw_only=True)
class SlurmReport(Report):
    """The batch script of a run."""

    schema: ClassVar[str] = "resnetctl.slurm/1"
    script: str
    processes: int


def slurm(target: str, settings: Settings, *, request: Request) -> SlurmReport:
    """Return the script that trains a config file, or goes on with a run. It writes nothing.

    Raises:
        InputError, ConfigError: there is no such run or file, or it cannot be read.
        UsageError: the processes cannot share the shards, or the time is shorter than the grace.
    """
    path = Path(target)
    is_config = path.is_file()
    config = _config(path) if is_config else runs.find(target, settings.runs_dir).read_config()
    processes = request.processes or config.shards
    require_division(config.shards, processes)
    if processes % request.nodes:
        raise UsageError(
            f"{processes} processes cannot share {request.nodes} nodes evenly", where=Setting("nodes", request.nodes)
        )
    if request.time < 2 * request.grace:
        raise UsageError("the time must be at least twice the grace", where=Setting("time"), hint=Setting("grace", 30))
    verb = "finetune" if isinstance(config, FinetuneConfig) else "train"
    start = in_shell(Call(verb, settings={"config": path})) if is_config else "false"
    place = settings.runs_dir if is_config else runs.find(target, settings.runs_dir).path.resolve()
    job = path.stem if is_config else place.name
    run = (
        f'{shlex.quote(str(place.absolute()))}/{shlex.quote(job)}-"$SLURM_JOB_ID"'
        if is_config
        else shlex.quote(str(place))
    )
    script = SCRIPT.format(
        job=shlex.quote(job),
        nodes=request.nodes,
        processes=processes,
        threads=config.threads or 1,
        gpus=GPUS.format(processes // request.nodes) if request.gpus else "",
        minutes=max(1, round(request.time / 60)),
        grace=request.grace,
        run=run,
        resume=in_shell(Call("train", settings={"resume": None})),
        start=start,
    )
    return SlurmReport(script=script, processes=processes)


def _config(path: Path) -> TrainConfig:
    """Return the config in a TOML file. Raises `InputError` for a file of another kind."""
    if path.suffix != ".toml":
        raise InputError("this is neither a run nor a TOML file", where=str(path))
    stored = from_file(path)
    return resolve(FinetuneConfig if "weights" in stored.values else TrainConfig, [stored]).config
