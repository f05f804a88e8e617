"""`compress`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import CompressOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from resnetctl.tasks.compress import CompressReport


def run(parsed: Parsed[CompressOptions]) -> None:
    """Run `compress`."""
    options = parsed.options
    keep = None if options.keep_blocks is None else _depths(options.keep_blocks)
    from resnetctl.system import settings

    load_torch()
    from resnetctl.tasks.compress import Cut, compress

    cut = Cut(keep_blocks=keep, speedup=options.speedup)
    report = compress(options.target, settings=settings.load(), out=options.out, cut=cut, data=options.data)
    show(report, as_json=options.as_json)


def show(report: "CompressReport", *, as_json: bool) -> None:
    """Print what was removed, what it costs and gains, and how to train on."""
    for notice in report.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(report)
        return
    path, (before, after) = tables.short(report.path), report.accuracy
    pairs = [
        ("wrote", path),
        ("blocks", f"{_listed(report.before)} -> {_listed(report.after)}"),
        ("removed", ", ".join(report.removed)),
        ("params", " -> ".join(map(tables.count, report.params))),
        (
            "accuracy on val",
            f"{tables.percent(before.top1)} -> {tables.percent(after.top1)} before training ({after.count:,} images)",
        ),
    ]
    if report.table is not None:
        blocks = ", ".join(f"{milliseconds:.3f}" for milliseconds in report.table.blocks)
        pairs.append(("ms a block", f"{blocks} by stage; {report.table.whole:.3f} for all (one image, one thread)"))
    for size, spread in report.speedup.items():
        pairs.append(
            (f"batch of {size}", f"{spread.median:.2f} times as fast here ({spread.low:.2f} to {spread.high:.2f})")
        )
    tables.pairs(pairs)
    teach = f"  resnetctl finetune {path} --data {report.data} --teacher {tables.short(report.target)}"
    streams.result("\n".join(["", "Next", teach]))


def _listed(depths: tuple[int, ...]) -> str:
    return ", ".join(map(str, depths))


def _depths(text: str) -> tuple[int, ...]:
    """Return the numbers in `5,5,5`. Raises `UsageError` for other text."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{text!r} is not a list of numbers", where="--keep-blocks", hint="one for each stage: --keep-blocks 5,5,5"
        ) from None


COMMAND = Command(
    name="compress",
    summary="Remove the blocks that matter least. Train the smaller network on afterwards.",
    run=run,
    options=CompressOptions,
    examples=(
        ("resnetctl compress last --speedup 2 --out small.safetensors", "measured here"),
        ("resnetctl compress last --keep-blocks 5,5,5 --out small.safetensors", ""),
    ),
)
