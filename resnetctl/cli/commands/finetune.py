"""`finetune`."""

import dataclasses

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import FinetuneOptions
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import UsageError


def run(parsed: Parsed[FinetuneOptions]) -> None:
    """Run `finetune`."""
    parsed = _with_target(parsed)
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings

    run_draft = draft(parsed, FinetuneConfig)  # report mistakes before PyTorch is loaded
    load_torch()
    from resnetctl.tasks.finetune import finetune

    follow(finetune(run_draft, settings.load()), verb="finetune", as_json=parsed.options.as_json)


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
    examples=(
        ("resnetctl finetune --data ./photos -w torchvision:resnet18", "from ImageNet"),
        ("resnetctl finetune runs/last --data mnist", "from your own run"),
        ("resnetctl finetune model.safetensors -d ./photos --freeze backbone", ""),
    ),
    notes=("Defaults that depend on the data: resnetctl config show finetune",),
)
