"""`slurm`."""

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.scale_options import SlurmOptions
from resnetctl.cli.screen import streams


def run(parsed: Parsed[SlurmOptions]) -> None:
    """Run `slurm`."""
    from resnetctl.system import settings
    from resnetctl.tasks.slurm.script import Request, slurm

    options = parsed.options
    request = Request(
        processes=options.processes, nodes=options.nodes, time=options.time, grace=options.grace, gpus=options.gpus
    )
    report = slurm(options.target, settings.load(), request=request)
    if options.as_json:
        streams.report(report)
    else:
        streams.result(report.script.rstrip("\n"))


COMMAND = Command(
    name="slurm",
    summary="Print a batch script for SLURM that trains a run and goes on after a preemption.",
    run=run,
    options=SlurmOptions,
    examples=(
        ("resnetctl slurm run.toml --processes 4", "write it to job.sh, then: sbatch job.sh"),
        ("resnetctl slurm runs/last --time 12h", "go on with a run"),
    ),
)
