"""`train`, and `train --resume`."""

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import RunOptions, TrainOptions
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.options import flags
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import UsageError

RESUMABLE = {"epochs", "device"}


def run(parsed: Parsed[TrainOptions]) -> None:
    """Run `train`."""
    if parsed.options.resume is not None:
        go_on(parsed, parsed.options.resume)
        return
    if parsed.options.exact:
        raise UsageError("--exact needs --resume", hint="resnetctl train --resume last --exact")
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings

    run_draft = draft(parsed, TrainConfig)  # report mistakes before PyTorch is loaded
    load_torch()
    from resnetctl.tasks.train import train

    follow(train(run_draft, settings.load()), verb="train", as_json=parsed.options.as_json)


def go_on(parsed: Parsed[TrainOptions], target: str) -> None:
    """Run `train --resume`. Raises `UsageError` for any option except --epochs, --exact and --device."""
    _only_resumable(parsed)
    from resnetctl.cli.screen.live import follow
    from resnetctl.system import settings

    load_torch()
    from resnetctl.tasks.resume import resume

    facts = resume(
        target,
        epochs=parsed.values.get("epochs"),
        exact=parsed.options.exact,
        device=parsed.values.get("device"),
        settings=settings.load(),
    )
    follow(facts, verb="train --resume", as_json=parsed.options.as_json)


def _only_resumable(parsed: Parsed[TrainOptions]) -> None:
    options = parsed.options
    extra = [parsed.names[key] for key in parsed.values if key not in RESUMABLE]
    of_new_runs = (flag for flag in flags(RunOptions) if flag.key not in Common.model_fields)
    extra += [flag.flag for flag in of_new_runs if getattr(options, flag.key)]
    if extra:
        raise UsageError(
            f"a resumed run keeps its own config: remove {', '.join(extra)}",
            where="--resume",
            hint="only --epochs, --exact and --device can be given",
        )


COMMAND = Command(
    name="train",
    summary="Train a network from scratch. Writes one new run folder.",
    run=run,
    options=TrainOptions,
    config=TrainConfig,
    examples=(
        ("resnetctl train --data digits", "no download, a minute"),
        ("resnetctl train --arch resnet56 --recipe strong", "CIFAR-10, 200 epochs"),
        ("resnetctl train --data ./photos --dry-run", "check everything, time a few steps"),
        ("resnetctl train --config runs/last/config.toml", "repeat a run"),
        ("resnetctl train --resume last", "resume the newest run"),
    ),
    notes=("Defaults that depend on the data and the network: resnetctl config show",),
)
