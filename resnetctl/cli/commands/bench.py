"""`bench`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import BenchOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.schema import BenchConfig
from resnetctl.hints import in_shell
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.engine.stopwatch import Spread
    from resnetctl.tasks.bench.report import BenchReport

KEYS = ("data", "model.arch", "model.block", "augment", "batch_size", "size", "precision", "device", "threads")


def run(parsed: Parsed[BenchOptions]) -> None:
    """Run `bench`."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings

    run_draft = draft(parsed, BenchConfig)  # report mistakes before PyTorch is loaded
    load_torch()
    from resnetctl.tasks.bench.bench import bench

    report = watch(bench(run_draft, settings.load(), compiled=parsed.options.compiled))
    if parsed.options.as_json:
        streams.report(report)
    else:
        show(report)


def show(report: "BenchReport") -> None:
    """Print the figures, each with its spread, and the advice."""
    tables.table(("what", "median", "quartiles", "n", "note"), [*_training(report), *_rest(report)])
    streams.result("")
    parts = report.training.parts.items()
    if parts:
        rows = [(name, f"{1000 * part.seconds:.2f} ms", tables.percent(part.share)) for name, part in parts]
        tables.table(("part of a step", "median", "share"), rows)
        streams.result("")
    for text in report.left_out:
        streams.say(streams.notice(f"left out: {text}"))
    for text in report.advice(in_shell):
        streams.result(streams.printable(text))


def _training(report: "BenchReport") -> Iterator[tuple[object, ...]]:
    subject, training, machine = report.subject, report.training, report.machine
    precision = "" if subject.precision == "fp32" else f", {subject.precision}"
    threads = f"{subject.device} ({counted(subject.threads, 'thread')}{precision})"
    of = f"{subject.arch} on {subject.data}, {subject.image_size} px, batch {subject.batch_size}, {threads}"
    yield _row("training", training.images_per_second, " images/s", of)
    share = training.share_of_sgemm
    yield ("", *_cells(share, 100, " %"), f"of SGEMM, at {training.flops_per_image / 1e6:,.1f} MFLOP an image")
    for tried in report.tried:
        yield _row(f"  {tried.what}", tried.images_per_second, " images/s", f"{tried.ratio.median:.2f}x")
    yield ("an epoch", tables.duration(training.epoch_seconds), "", "", f"{counted(subject.train_images, 'image')}")
    yield ("the whole run", tables.duration(training.run_seconds), "", "", f"{counted(subject.steps, 'step')}")
    cores = f"{machine.processor}, {counted(machine.cores, 'core')} granted"
    yield _row("SGEMM", machine.sgemm_gflops, " GFLOP/s", cores, digits=1)
    yield _row("memory copy", machine.copy_gb_per_second, " GB/s", "read and written", digits=1)


def _rest(report: "BenchReport") -> Iterator[tuple[object, ...]]:
    for name, speed in report.prediction.items():
        runtime, _, batch = name.partition(" ")
        ratio = report.onnx_ratio.get(batch) if runtime == "onnxruntime" else None
        yield _row(f"prediction, {batch}", speed, " images/s", runtime + (f", {ratio.median:.2f}x" if ratio else ""))
    for name, seconds in report.start_up.items():
        yield _row("start-up", seconds, " s", name, digits=2)
    for name, size in report.memory.items():
        note = "more while training" if name == "training" else "of the process, at the highest"
        yield ("memory", tables.size(size), "", "", note)


def _row(name: str, value: "Spread", unit: str, note: str, *, digits: int = 0) -> tuple[object, ...]:
    return (name, *_cells(value, 1, unit, digits=digits), note)


def _cells(spread: "Spread", scale: float, unit: str, *, digits: int = 0) -> tuple[object, ...]:
    median, low, high = (f"{scale * value:,.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return median + unit, f"{low}-{high}", spread.n


COMMAND = Command(
    name="bench",
    summary="Time training and prediction on this machine next to its limits, and suggest what is faster. "
    "Takes about a minute and keeps nothing.",
    run=run,
    options=BenchOptions,
    config=BenchConfig,
    keys=KEYS,
    examples=(
        ("resnetctl bench", "resnet20 on the digits"),
        ("resnetctl bench --arch resnet56 --data cifar10", "how fast a real run would be"),
        ("resnetctl bench --config runs/last/config.toml", "a run of train"),
        ("resnetctl bench --json", "for a program"),
    ),
    notes=("Photos: images above 64 px. For your data: resnetctl config show",),
)
