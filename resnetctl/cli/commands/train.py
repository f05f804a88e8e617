"""`train`, and `train --resume`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Given
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.layers import layers
from resnetctl.cli.parser.options import RunOptions, TrainOptions
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.options import flags
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from resnetctl.tasks.train import TrainRequest

RESUMABLE = {"epochs", "device"}


def run(given: Given[TrainOptions]) -> None:
    """`train`"""
    if given.options.resume is not None:
        resume(given, given.options.resume)
        return
    if given.options.exact:
        raise UsageError("--exact goes with --resume", hint="resnetctl train --resume last --exact")
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings
    from resnetctl.tasks import config as configs

    machine = settings.load()
    configs.show(layers(given), machine)  # mistakes are told before PyTorch is loaded
    configs.require_free(layers(given), budget=bool(given.options.budget), tune=given.options.tune)
    load_torch()
    from resnetctl.tasks.train import train

    follow(train(request(given), machine), verb="train", as_json=given.options.as_json)


def resume(given: Given[TrainOptions], target: str) -> None:
    """Go on with a run. Raises `UsageError` for anything but --epochs, --exact and --device."""
    _only_resumable(given)
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings

    load_torch()
    from resnetctl.tasks import train

    values, machine = given.values, settings.load()
    facts = train.resume(
        target,
        epochs=values.get("epochs"),
        exact=given.options.exact,
        device=values.get("device"),
        settings=machine,
    )
    follow(facts, verb="train --resume", as_json=given.options.as_json)


def request(given: Given[RunOptions]) -> "TrainRequest":
    """What `train` and `finetune` ask of their tasks."""
    from resnetctl.tasks.train import TrainRequest

    options = given.options
    return TrainRequest(
        layers=layers(given),
        name=options.name,
        out=options.out,
        dry_run=options.dry_run,
        budget=options.budget,
        tune=options.tune,
    )


def _only_resumable(given: Given[TrainOptions]) -> None:
    options = given.options
    extra = [given.names[key] for key in given.values if key not in RESUMABLE]
    of_new_runs = (flag for flag in flags(RunOptions) if flag.key not in Common.model_fields)
    extra += [flag.flag for flag in of_new_runs if getattr(options, flag.key)]
    if extra:
        raise UsageError(
            f"a resumed run keeps its own config: {', '.join(extra)} cannot be given",
            where="--resume",
            hint="--epochs, --exact and --device can be",
        )


COMMAND = Command(
    name="train",
    summary="Train a network from scratch. It writes one new run folder, and new data into the store.",
    run=run,
    options=TrainOptions,
    config=TrainConfig,
    examples=(
        ("resnetctl train --data digits", "no download, a minute"),
        ("resnetctl train --arch resnet56 --recipe strong", "CIFAR-10, 200 epochs"),
        ("resnetctl train --data ./photos --dry-run", "check and time it first"),
        ("resnetctl train --config runs/last/config.toml", "repeat a run"),
        ("resnetctl train --resume last", "go on after a stop"),
    ),
    notes=("Values without a default follow the data and the network: resnetctl config show",),
)
