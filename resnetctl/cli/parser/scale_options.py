"""The options of `sweep`, `recipes` and `slurm`: pydantic models, as those of the other verbs."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from resnetctl.cli.parser.common import Common, argument
from resnetctl.config.duration import seconds
from resnetctl.config.options import USED, option


class SweepRunOptions(Common):
    file: str = argument("TOML file with the values to vary", metavar="FILE.toml")
    name: str | None = option(None, "Name of the group (default: from FILE)", short="-n", metavar="NAME", panel=USED)
    out: Path | None = option(None, "Folder for the group", short="-o", metavar="DIR", panel=USED)
    halving: int = option(0, "Stop all but the best 1/N of the runs at each rung", metavar="N", panel=USED, ge=0)
    queue_only: bool = option(False, "Write the group, and train nothing yet", panel=USED)


class SweepGroupOptions(Common):
    group: str = argument("Group of runs", metavar="GROUP", complete="run")


class SweepShowOptions(SweepGroupOptions):
    against: str | None = option(
        None, "Compare its best setting with that of another group", metavar="GROUP", panel=USED, complete="run"
    )
    plot: Path | None = option(None, "Write a plot of all seeds", metavar="FILE.svg", panel=USED)


class RecipesVerifyOptions(Common):
    name: str = argument("Recipe", metavar="NAME", complete="recipe")
    data: str | None = option(None, "Dataset of the band (default: its first)", short="-d", metavar="NAME", panel=USED)
    seeds: int = option(3, "Seeds to train, other than those of the band", metavar="N", panel=USED, ge=1)


class SlurmOptions(Common):
    target: str = argument("Run, or a TOML file with a config", metavar="RUN|CONFIG", complete="run")
    processes: int = option(0, "Processes in all (0: one for each shard)", metavar="N", panel=USED, ge=0)
    nodes: int = option(1, "Nodes to share them", metavar="N", panel=USED, ge=1)
    time: Annotated[float, BeforeValidator(seconds)] = option(
        "4h", "Longest wall time of one start: 90min, 12h", metavar="TIME", panel=USED, validate_default=True
    )
    grace: int = option(90, "Seconds before the end at which the run is saved", metavar="S", panel=USED, ge=1)
    gpus: bool = option(False, "Ask for one GPU for each process", panel=USED)
