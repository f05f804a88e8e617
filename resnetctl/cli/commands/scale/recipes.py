"""`recipes list` and `recipes verify`."""

from collections.abc import Generator
from typing import Any

from resnetctl.cli.groups import watched
from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.scale_options import RecipesVerifyOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.errors import CheckFailed
from resnetctl.wording import counted


def list_bands(parsed: Parsed[Common]) -> None:
    """Run `recipes list`."""
    from resnetctl.tasks.sweep.bands import bands

    report = bands()
    if parsed.options.as_json:
        streams.report(report)
        return
    rows = [
        (
            band.recipe,
            band.data,
            " ".join(f"{key}={value}" for key, value in band.config.items()),
            tables.percent(band.mean, 2),
            f"{100 * band.sd:.2f}",
            band.n,
            band.hardware,
        )
        for band in report.bands
    ]
    tables.table(["recipe", "data", "config", "val acc", "sd, points", "n", "hardware"], rows)


def verify(parsed: Parsed[RecipesVerifyOptions]) -> None:
    """Run `recipes verify`. Raises `CheckFailed` outside the band."""
    from resnetctl.system import settings
    from resnetctl.tasks.sweep import bands

    options = parsed.options
    band = bands.band_of(options.name, options.data)
    load_torch()
    from resnetctl.tasks.resume import resume
    from resnetctl.tasks.train import train
    from resnetctl.training.launch import Trainer

    trainer = Trainer(start=train, resume=resume)
    facts: Generator[Any, None, Any] = bands.verify(band, settings.load(), seeds=options.seeds, trainer=trainer)
    report = watched(facts)
    if options.as_json:
        streams.report(report)
    text = (
        f"{tables.percent(report.mean, 2)} is the mean of {counted(options.seeds, 'seed')}; "
        f"the band of {band.n} seeds expects {tables.interval(*report.interval)}"
    )
    if not report.is_inside:
        raise CheckFailed(f"outside: {text}", where=report.group)
    if not options.as_json:
        streams.result(f"inside: {text}")


COMMAND = Group(
    name="recipes",
    summary="The accuracy that the packaged recipes reached, and whether this machine reaches it.",
    members={
        "list": Command(
            name="list",
            summary="List the bands of the recipes: data, mean and spread over seeds, hardware.",
            run=list_bands,
            examples=(("resnetctl recipes list", ""),),
        ),
        "verify": Command(
            name="verify",
            summary="Train a recipe with new seeds. Exit 5 when their mean is outside the band.",
            run=verify,
            options=RecipesVerifyOptions,
            examples=(("resnetctl recipes verify fast --data digits --seeds 3", "a few minutes"),),
        ),
    },
    examples=(("resnetctl recipes verify fast --data digits", "does this machine train as it should?"),),
)
