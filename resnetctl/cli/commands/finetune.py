"""`finetune`."""

import dataclasses

from resnetctl.cli.parser.command import Command, Given
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.options import FinetuneOptions
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import UsageError


def run(given: Given[FinetuneOptions]) -> None:
    """`finetune`"""
    given = _with_target(given)
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings

    asked = draft(given, FinetuneConfig)  # mistakes are told before PyTorch is loaded
    load_torch()
    from resnetctl.tasks.finetune import finetune

    follow(finetune(asked, settings.load()), verb="finetune", as_json=given.options.as_json)


def _with_target(given: Given[FinetuneOptions]) -> Given[FinetuneOptions]:
    """Return what was given with the positional target as the config key `weights`."""
    target = given.options.target
    if target is None:
        return given
    if "weights" in given.values:
        raise UsageError(f"give either {target} or --weights, not both", where="--weights")
    values = {**given.values, "weights": target}
    return dataclasses.replace(given, values=values, names={**given.names, "weights": "RUN|FILE"})


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
