"""`explain`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import ExplainOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import torch_note

if TYPE_CHECKING:
    from resnetctl.tasks.explain import ExplainReport

HEADER = ("file", "class", "probability", "insertion", "deletion", "random head", "map")


def run(parsed: Parsed[ExplainOptions]) -> None:
    """Run `explain`."""
    from resnetctl.system import settings
    from resnetctl.tasks.explain import explain

    options, machine = parsed.options, settings.load()
    with torch_note():
        outcome = explain(
            options.target,
            options.images,
            settings=machine if options.device is None else replace(machine, device=options.device),
            method=options.method,
            stage=options.stage or "",
            class_=options.class_,
            out=options.out,
        )
    show(outcome, as_json=options.as_json)
    outcome.require()


def show(outcome: "ExplainReport", *, as_json: bool) -> None:
    """Print a line for each image: its class, the scores of its map, and the picture."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    rows = [
        (
            item.file,
            item.label,
            f"{item.probability:.4f}",
            f"{item.score.insertion:.3f}",
            f"{item.score.deletion:.3f}",
            f"{item.score.random_head:+.2f}",
            item.picture,
        )
        for item in outcome.results
    ]
    if rows:
        tables.table(HEADER, rows)


COMMAND = Command(
    name="explain",
    summary="Show what a run or a weights file looked at: maps over images.",
    run=run,
    options=ExplainOptions,
    examples=(
        ("resnetctl explain last cat.jpg", "what spoke for the predicted class"),
        ("resnetctl explain last ./photos --class dog --out maps", "what spoke for 'dog' in each photo"),
        ("resnetctl explain last cat.jpg --method layercam --stage layer2", "finer, at an earlier stage"),
    ),
)
