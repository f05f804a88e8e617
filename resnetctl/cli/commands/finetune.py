"""`finetune`."""

import dataclasses
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import OF_DATA_ADD, Command, Parsed
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import FinetuneOptions
from resnetctl.cli.processes import train_in_processes
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from resnetctl.engine.distributed import Team
    from resnetctl.training.launch import Facts


def run(parsed: Parsed[FinetuneOptions]) -> None:
    """Run `finetune`."""
    parsed = _with_target(parsed)
    run_draft = draft(parsed, FinetuneConfig)  # report mistakes before PyTorch is loaded

    def work(team: "Team") -> "Facts":
        from resnetctl.system import settings
        from resnetctl.tasks.finetune import finetune

        return finetune(run_draft, settings.load(), team=team)

    train_in_processes(parsed.options, work, shards=lambda: run_draft.config.shards, verb="finetune")


def _with_target(parsed: Parsed[FinetuneOptions]) -> Parsed[FinetuneOptions]:
    """Return the command line with the positional target as the config key `weights`."""
    target = parsed.options.target
    if target is None:
        return parsed
    if "weights" in parsed.values:
        raise UsageError(f"give either {target} or --weights, not both", where="--weights")
    values = {**parsed.values, "weights": target}
    return dataclasses.replace(parsed, values=values, names={**parsed.names, "weights": "RUN|FILE"})


COMMAND = Command(
    name="finetune",
    summary="Adapt trained weights to your classes. Starts from the newest run by default.",
    run=run,
    options=FinetuneOptions,
    config=FinetuneConfig,
    recipe="finetune",
    examples=(
        ("resnetctl finetune --data ./photos -w torchvision:resnet18", "from ImageNet"),
        ("resnetctl finetune runs/last --data mnist", "from your own run"),
        ("resnetctl finetune model.safetensors -d ./photos --freeze backbone", ""),
    ),
    elsewhere={
        "--resume": "resnetctl train --resume last",
        "--seeds": "groups of seeds train from scratch: run finetune once for each, with its own --name and --seed 0",
        **OF_DATA_ADD,
    },
    notes=("Photos: images above 64 px. For your data: resnetctl config show finetune",),
)
