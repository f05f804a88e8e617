"""`compress`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl.cli.groups import watched
from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.compress_options import CompressOptions
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.duration import spoken
from resnetctl.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resnetctl.engine.stopwatch import Spread
    from resnetctl.system.settings import Settings
    from resnetctl.tasks.compress import CompressReport, Order
    from resnetctl.tasks.compress.report import CutFacts

MUCH = 0.03  # accuracy: with more lost, the network is to be trained further before it is made smaller again


def run(parsed: Parsed[CompressOptions]) -> None:
    """Run `compress`."""
    options = parsed.options
    load_torch()
    from resnetctl.system import settings
    from resnetctl.tasks.compress import Order, compress

    order = Order.of(
        options.target,
        data=options.data,
        keep_blocks=options.keep_blocks,
        channels=options.channels,
        speedup=options.speedup,
        student=options.student,
        finetune=options.finetune,
        set=dict(from_sets(options.sets).values),
        target_ms=options.target_ms,
        size=options.size,
        int8=options.int8,
        max_drop=options.max_drop,
        budget=options.budget,
    )
    if options.out is None:
        report = _into_run(order, settings.load(), name=options.name)
    else:
        order.require_file(options.name)
        report = compress(options.target, settings=settings.load(), out=options.out, cut=order.cut, data=options.data)
    show(report, as_json=options.as_json)


def _into_run(order: "Order", settings: "Settings", *, name: str | None) -> "CompressReport":
    """Make a run, or go on with it, and show its training."""
    from resnetctl.tasks.compress import into_run
    from resnetctl.tasks.finetune import finetune
    from resnetctl.tasks.resume import resume
    from resnetctl.training.launch import Trainer

    trainer = Trainer(start=finetune, resume=resume)
    report: CompressReport = watched(into_run(order, settings, name=name, trainer=trainer))
    return report


def show(report: "CompressReport", *, as_json: bool) -> None:
    """Print what was removed, what it costs and gains, and what to do next."""
    for notice in report.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(report)
        return
    path = tables.short(report.run or report.path)
    pairs: list[tuple[str, object]] = [("from", tables.short(report.target)), ("wrote", path)]
    pairs += [*_cut_pairs(report), *_student_pairs(report)]
    if report.test is not None:
        before = f"{tables.percent(report.test_before.top1)} -> " if report.test_before else ""
        after = f"{tables.percent(report.test.top1)} ({report.test.count:,} images, opened once)"
        pairs.append(("accuracy on test", before + after))
    pairs.append(("time", spoken(report.seconds)))
    pairs += [("rejected", reason) for reason in report.undone]
    tables.pairs(pairs)
    if report.stages:
        _show_stages(report)
    if report.file is not None:
        streams.result(f"\nNext\n  resnetctl predict {tables.short(report.file)} IMAGE")
        return
    from resnetctl.tasks.compress.steps import RATE

    teach = f"  resnetctl finetune {path} --data {report.data} --teacher {tables.short(report.target)} --lr {RATE:g}"
    after = f"  resnetctl export {path} --onnx --int8"
    lost = 0.0 if report.trained is None or report.cut is None else report.cut.accuracy[0].top1 - report.trained.top1
    if lost > MUCH:
        streams.say(streams.notice(f"{100 * lost:.1f} points of val are lost: more training, or a smaller cut, helps"))
    streams.result("\n".join(["", "Next", teach if report.trained is None or lost > MUCH else after]))


def _show_stages(report: "CompressReport") -> None:
    """Print a row for each stage."""
    streams.result("")
    rows = []
    for stage in report.stages:
        times = [f"{stage.latency[size].p50:.2f} / {stage.latency[size].p95:.2f}" for size in ("1", "64")]
        sizes = [tables.count(stage.params), f"{stage.multiply_adds / 1e6:,.1f} M", tables.size(stage.bytes)]
        accuracy = [tables.percent(stage.accuracy.top1), tables.interval(*stage.accuracy.interval)]
        rows.append((stage.name, *accuracy, *times, *sizes))
    header = ["stage", "val acc", "95 % interval", "ms, 1 image", "ms, 64 images", "params", "MACs", "file"]
    tables.folded(header, rows, at=header.index("params"))
    streams.say("ms: median / 95th percentile of calls in turns, one thread")


def _cut_pairs(report: "CompressReport") -> "Iterator[tuple[str, str]]":
    """Yield what was removed, and what it costs and gains."""
    cut = report.cut
    if cut is None:
        return
    if cut.removed:
        yield "blocks", f"{_listed(cut.before)} -> {_listed(cut.after)}"
        yield "removed", ", ".join(cut.removed)
    if cut.widths:
        yield "channels", _widths(cut.widths)
    yield "params", " -> ".join(map(tables.count, cut.params))
    yield "accuracy on val", _accuracy(report, cut)
    if cut.table is not None:
        blocks = ", ".join(f"{milliseconds:.3f}" for milliseconds in cut.table.blocks)
        yield "ms a block", f"{blocks} by stage; {cut.table.whole:.3f} for all (one image, one thread)"
    for size, spread in cut.speedup.items():
        yield f"batch of {size}", f"{_gain(spread)} here ({spread.low:.2f} to {spread.high:.2f})"


def _student_pairs(report: "CompressReport") -> "Iterator[tuple[str, str]]":
    """Yield the student, how both networks came out, and which one was kept."""
    student, choice = report.student, report.choice
    if student is None or choice is None:
        return
    whole, own = student.milliseconds
    source = "" if student.source == student.arch else f" of {tables.short(Path(student.source))}"
    yield "student", f"{student.arch}{source}, {tables.count(student.params)} params"
    yield "ms an image", f"{own:.3f} for the student; {whole:.3f} for the whole network (one thread)"
    for candidate in choice.candidates:
        gains = [f"{_gain(spread)} at a batch of {size}" for size, spread in candidate.speedup.items()]
        accuracy = [] if candidate.trained is None else [f"{tables.percent(candidate.trained.top1)} on val"]
        yield f"{candidate.name} trained", ", ".join([*accuracy, *gains, *filter(None, [candidate.problem])])
    yield "kept", f"{choice.kept}: {choice.why}"


def _gain(spread: "Spread") -> str:
    return f"{spread.median:.2f} times as fast"


def _accuracy(report: "CompressReport", cut: "CutFacts") -> str:
    """Return the accuracies of the cut network, before and after its training."""
    before, after = cut.accuracy
    text = f"{tables.percent(before.top1)} -> {tables.percent(after.top1)} before training"
    own = [candidate.trained for candidate in report.choice.candidates[:1]] if report.choice else [report.trained]
    text += "".join(f" -> {tables.percent(trained.top1)} after" for trained in own if trained is not None)
    return f"{text} ({after.count:,} images)"


def _widths(widths: "Mapping[str, tuple[int, ...]]") -> str:
    """Return how many layers became narrower, by their widths: `9 layers 32 -> 16, 9 layers 64 -> 32`."""
    counts = Counter(tuple(pair) for pair in widths.values())
    return ", ".join(f"{counted(count, 'layer')} {before} -> {after}" for (before, after), count in counts.items())


def _listed(depths: tuple[int, ...]) -> str:
    return ", ".join(map(str, depths))


COMMAND = Command(
    name="compress",
    summary="Make a network smaller: remove the blocks that matter least, and train what is left.",
    run=run,
    options=CompressOptions,
    examples=(
        ("resnetctl compress last --speedup 2 --finetune 5epochs --name small", "a run"),
        ("resnetctl compress --name small", "go on after a stop"),
        ("resnetctl compress last --speedup 3 --int8 --max-drop 1 --name tiny", "a checked file, or exit 5"),
        ("resnetctl compress last --speedup 2 --student resnet20 --finetune 5epochs", "keep the better of two"),
        ("resnetctl compress last --keep-blocks 5,5,5 --out small.safetensors", "a file, not trained"),
    ),
)
