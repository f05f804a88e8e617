"""`report`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import ReportOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import torch_note
from resnetctl.hints import Setting

if TYPE_CHECKING:
    from resnetctl.tasks.report.document import Against, TrustReport
    from resnetctl.tasks.report.duplicates import Duplicates
    from resnetctl.tasks.report.nets import NetReport
    from resnetctl.trust.abstain import Abstention
    from resnetctl.trust.conformal import Coverage
    from resnetctl.trust.shift import Shift
    from resnetctl.trust.strangers import Strangers


def run(parsed: Parsed[ReportOptions]) -> None:
    """Run `report`."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings, storage
    from resnetctl.tasks.held_out import store_first
    from resnetctl.tasks.report.nets import NetReport
    from resnetctl.tasks.report.report import reporting

    options = parsed.options
    if options.html is not None:
        storage.require_own(options.html, b"<!doctype html>", hint=Setting("html", "OTHER"))
    machine = settings.load_with(options.threads)
    data = watch(store_first(options.target, machine, data=options.data))
    with torch_note():
        outcome = watch(
            reporting(
                options.target,
                settings=machine if options.device is None else replace(machine, device=options.device),
                data=data,
                split=options.split,
                against=options.against,
                ood=options.ood,
                quick=options.quick,
                corruption=options.corruption,
                cifar_c=options.cifar_c,
                calibrate=options.calibrate,
            )
        )
    calibrated = None if isinstance(outcome, NetReport) else outcome.calibrated
    written = [] if calibrated is None else [calibrated]
    written += [] if options.html is None else [outcome.write_html(options.html)]
    written += [] if options.plots is None else outcome.write_plots(options.plots)
    if isinstance(outcome, NetReport):
        show_net(outcome, as_json=options.as_json)
    else:
        show(outcome, as_json=options.as_json)
    for path in written:
        streams.say(f"wrote {tables.short(path)}")


def show_net(outcome: "NetReport", *, as_json: bool) -> None:
    """Print the verdict of a network with a head, then its classes and its worst images."""
    from resnetctl.report.verdict import net_verdict

    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    for sentence in net_verdict(outcome.to_json()):
        streams.result(sentence)
    streams.result("")
    tables.table(*tables.net_classes(outcome.measured))
    if outcome.worst:
        streams.result("")
        keys = list(outcome.worst[0])
        tables.table(("worst images", *keys[1:]), ([_short(row[key]) for key in keys] for row in outcome.worst))


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def show(outcome: "TrustReport", *, as_json: bool) -> None:
    """Print the numbers, then tables of prediction sets and of abstaining."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    measured, judged = outcome.accuracy, outcome.assessment
    low, high = measured.interval
    right = f"{tables.count(measured.correct)} of {tables.count(measured.count)}"
    tables.pairs(
        [
            ("measured", f"{tables.short(outcome.target)} on {outcome.data} {outcome.split}"),
            ("accuracy", f"{tables.percent(measured.top1, 2)}   ({right}; 95 % interval {tables.interval(low, high)})"),
            ("judged", None if outcome.looks is None else tables.looks(outcome.looks.models, outcome.looks.interval)),
            ("calibration error", calibration_text(outcome)),
            ("NLL, Brier", f"{judged.calibration.nll:.4f}, {judged.calibration.brier:.4f}"),
            ("risk-coverage area", f"{judged.aurc:.4f}   (mean error rate over all coverages)"),
            ("suspect labels", suspects_text(outcome) if outcome.suspects else None),
            ("duplicates", None if outcome.duplicates is None else duplicates_text(outcome.duplicates)),
            ("corrupted images", None if outcome.corruptions is None else shift_text(outcome.corruptions)),
            ("compared", None if outcome.against is None else comparison_text(outcome.against)),
        ]
    )
    if judged.conformal:
        streams.result("")
        tables.table(
            ("set", "coverage", "expected", "classes in a set", "with one class"), map(set_row, judged.conformal)
        )
    if judged.abstain:
        streams.result("")
        tables.table(("wanted accuracy", "answer from", "answered", "accuracy"), map(abstain_row, judged.abstain))
    if outcome.corruptions is not None:
        streams.result("")
        tables.table(("corruption", *map(str, range(1, 6))), shift_rows(outcome.corruptions))
    if outcome.ood:
        streams.result("")
        tables.table(*strange_table(outcome.ood))


def calibration_text(outcome: "TrustReport") -> str:
    """Return the calibration error, its value without a temperature, and that of a perfect network of this size."""
    found, before = outcome.assessment.calibration, outcome.assessment.uncalibrated
    fitted = "" if before is None else f"at temperature {found.temperature:.3f}; {before.ece:.4f} without; "
    return (
        f"{found.ece:.4f}   ({fitted}a perfect network shows {found.ece_null:.4f} with {tables.count(found.n)} images)"
    )


def comparison_text(against: "Against") -> str:
    """Return the verdict with the difference and its interval."""
    found = against.comparison
    low, high = found.interval
    difference = f"{100 * found.difference:+.2f} points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    return (
        f"{found.verdict} than {tables.short(against.target)}: {difference}"
        if "not" not in found.verdict
        else (
            f"not distinguishable from {tables.short(against.target)}: {difference}; "
            f"this test could show {100 * found.smallest:.2f} points"
        )
    )


def suspects_text(outcome: "TrustReport") -> str:
    """Return how many labels are doubted, and the first of them."""
    from resnetctl.trust.suspects import MOST

    first = outcome.suspects[0]
    more = " or more" if len(outcome.suspects) == MOST else ""
    return (
        f"{tables.count(len(outcome.suspects))}{more}   (first: {first.name}, '{first.label}' or '{first.predicted}'?)"
    )


def duplicates_text(found: "Duplicates") -> str:
    """Return how many images train has too, and the accuracy without them."""
    if not found.images:
        return "none found in train"
    without = (
        "" if found.accuracy_without is None else f"; accuracy without them {tables.percent(found.accuracy_without, 2)}"
    )
    first = found.pairs[0]
    return f"{tables.count(found.images)}   (first: {first.name} and {first.train}{without})"


def shift_text(found: "Shift") -> str:
    """Return the mean accuracy over kinds and severities, with its interval."""
    interval = f"95 % interval {tables.interval(*found.interval)}"
    return (
        f"{tables.percent(found.mean)}   (mean of {len(found.cells)} cells; {tables.count(found.n)} images; {interval})"
    )


def shift_rows(found: "Shift") -> Iterator[tuple[object, ...]]:
    """Yield the accuracy of each kind by severity."""
    for kind in dict.fromkeys(cell.kind for cell in found.cells):
        yield kind, *(tables.percent(cell.accuracy) for cell in found.cells if cell.kind == kind)


def strange_table(found: Sequence["Strangers"]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the header and a row for each set: its AUROC by score, and the share that `predict` would notice."""
    scores = list(dict.fromkeys(item.score for item in found))
    rows: list[tuple[object, ...]] = []
    for name, n in dict.fromkeys((item.set, item.n) for item in found):
        of_set = {item.score: item for item in found if item.set == name}
        noticed = [tables.percent(item.flagged) for item in of_set.values() if item.flagged is not None]
        rows.append((name, n, *(f"{of_set[score].auroc:.3f}" for score in scores), *noticed))
    last = ("predict notices",) if any(item.flagged is not None for item in found) else ()
    return ("AUROC of strange images", "images", *scores, *last), rows


def set_row(item: "Coverage") -> tuple[object, ...]:
    """Return the row of one level."""
    low, high = item.coverage_range
    return (
        tables.percent(item.level, 0),
        tables.percent(item.coverage),
        tables.interval(low, high),
        f"{item.size:.2f}",
        tables.percent(item.single),
    )


def abstain_row(item: "Abstention") -> tuple[object, ...]:
    """Return the row of one target."""
    if item.threshold is None:
        return tables.percent(item.target, 0), "no threshold is proved", "-", "-"
    share = f"probability {item.threshold:.4f}"
    return tables.percent(item.target, 0), share, tables.percent(item.coverage), tables.percent(item.accuracy)


COMMAND = Command(
    name="report",
    summary="Say what a network is worth: calibration, prediction sets, abstaining.",
    run=run,
    options=ReportOptions,
    examples=(
        ("resnetctl report", "the newest run, on test"),
        ("resnetctl report --html report.html", "one page that needs no network"),
        ("resnetctl report last --against runs/old", "compared with another run on the same images"),
        ("resnetctl report net.onnx --data cifar10 --json", "all numbers of an ONNX file"),
        (
            "resnetctl report old.safetensors --calibrate new.safetensors",
            "weights with temperature and prediction sets",
        ),
    ),
)
