"""The place of this process among the processes of one training, as a launcher wrote it into the environment.

Our own launcher, torchrun and most others set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; a step of SLURM sets
variables of its own. This module imports no torch.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from resnetctl.errors import UsageError

PORTS = (20_000, 10_000)  # the first port for steps of SLURM, and how many there are


@dataclass(frozen=True, kw_only=True)
class Place:
    """One of `size` processes.

    Attributes:
        rank: its number among all processes, `local_rank` among those of this machine.
        address, port: where process 0 waits for the others.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return the place that the environment describes; None if this process was started alone.

    Raises:
        UsageError: a variable is missing or is not a number.
    """
    if "RANK" in environment or "WORLD_SIZE" in environment:
        return _alone_is_none(_from_torch(environment))
    # SLURM_NTASKS is set inside a batch script too, which is one process; only srun sets SLURM_STEP_NUM_TASKS
    if "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment:
        return _alone_is_none(_from_slurm(environment))
    return None


def first_host(nodes: str) -> str:
    """Return the first host of a list in SLURM's form: `gpu-[07-12,20],login` gives `gpu-07`."""
    name = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,\[]*)", nodes)
    return "".join(part or "" for part in name.groups()) if name is not None else nodes


def _alone_is_none(found: Place) -> Place | None:
    return found if found.size > 1 else None


def _from_torch(environment: Mapping[str, str]) -> Place:
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < size:
        raise UsageError(f"RANK={rank} is no process of WORLD_SIZE={size}: they count from 0", where="the environment")
    return Place(
        rank=rank,
        size=size,
        local_rank=_number(environment, "LOCAL_RANK", default=rank),
        local_size=_number(environment, "LOCAL_WORLD_SIZE", default=size),
        address=environment.get("MASTER_ADDR", "127.0.0.1"),
        port=_number(environment, "MASTER_PORT", default=29500),
    )


def _from_slurm(environment: Mapping[str, str]) -> Place:
    first, count = PORTS
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "127.0.0.1")
    step = _number(environment, "SLURM_JOB_ID", default=0) + _number(environment, "SLURM_STEP_ID", default=0)
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    size = _number(environment, "SLURM_STEP_NUM_TASKS")
    return Place(
        rank=_number(environment, "SLURM_PROCID"),
        size=size,
        local_rank=_number(environment, "SLURM_LOCALID", default=0),
        local_size=int(match[0]) if (match := re.match(r"\d+", tasks)) is not None else size,
        address=environment.get("MASTER_ADDR") or first_host(nodes),
        port=_number(environment, "MASTER_PORT", default=first + step % count),
    )


def _number(environment: Mapping[str, str], name: str, *, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError:
        problem = f"is '{text}', not a number" if text else "is missing"
        raise UsageError(f"the environment variable {name} {problem}", where="the environment") from None
