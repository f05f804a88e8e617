"""`eval`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import EvalOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import torch_note
from resnetctl.cli.screen.progress import watch
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.engine.metrics import EvalReport
    from resnetctl.tasks.evaluate import EvalOutcome
    from resnetctl.tasks.nets.measured import NetOutcome

SHOWN = 10  # classes in the table


def run(parsed: Parsed[EvalOptions]) -> None:
    """Run `eval`."""
    from resnetctl.engine.meters.gates import Gates, Limits
    from resnetctl.system import settings
    from resnetctl.tasks import evaluate as task
    from resnetctl.tasks.held_out import store_first
    from resnetctl.tasks.nets.measured import NetOutcome

    options = parsed.options
    machine = settings.load_with(options.threads)
    limits = Limits(
        min_primary=options.min_primary,
        min_accuracy=options.min_accuracy,
        min_balanced_accuracy=options.min_balanced_accuracy,
        min_per_class=options.min_per_class,
        min_lower=options.min_lower,
    )
    Gates.of(limits)  # report mistakes before images are stored
    data = watch(store_first(options.target, machine, data=options.data))
    with torch_note():
        outcome = task.evaluate(
            options.target,
            settings=machine,
            data=data,
            split=options.split,
            device=options.device,
            per_image=options.per_image,
            tta=options.tta,
            **limits,
        )
    if isinstance(outcome, NetOutcome):
        show_net(outcome, as_json=options.as_json)
    else:
        show(outcome, as_json=options.as_json)
    outcome.require()


def show_net(outcome: "NetOutcome", *, as_json: bool) -> None:
    """Print the numbers of a network with a head, then a table of its classes."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    measured, primary = outcome.measured, outcome.measured.primary
    between = "" if primary.interval is None else f"   (95 % interval {tables.interval(*primary.interval)})"
    numbers = [
        (name, _figure(name, value) + (between if name == primary.name else ""))
        for name, value in measured.figures.items()
    ]
    title = f"{tables.short(outcome.target)} on {outcome.data} {outcome.split}"
    written = None if outcome.written is None else tables.short(outcome.written)
    judged = None if outcome.looks is None else tables.looks(outcome.looks.models, outcome.looks.interval)
    files = None if outcome.per_image is None else tables.short(outcome.per_image)
    count = f"{tables.count(measured.count)}"
    tables.pairs(
        [
            ("measured", title),
            *numbers,
            ("judged", judged),
            ("images", count),
            ("per image", files),
            ("wrote", written),
            ("limits", _met(outcome)),
        ]
    )
    streams.result("")
    tables.table(*tables.net_classes(measured))


def _figure(name: str, value: float | None) -> str:
    """Return a number of a task as text: a share in percent, a loss as it is."""
    if value is None:
        return "-"
    return f"{value:.4f}" if name == "loss" else tables.percent(value, 2)


def show(outcome: "EvalOutcome", *, as_json: bool) -> None:
    """Print the numbers, then a table of the classes, worst first."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    report = outcome.report
    low, high = report.interval
    right = f"{tables.count(report.correct)} of {tables.count(report.count)}"
    tables.pairs(
        [
            ("measured", f"{tables.short(outcome.target)} on {outcome.data} {outcome.split}"),
            ("accuracy", f"{tables.percent(report.top1, 2)}   ({right}; 95 % interval {tables.interval(low, high)})"),
            ("each image", "as it is and mirrored, logits averaged" if outcome.tta == "flip" else None),
            ("balanced", f"{tables.percent(report.balanced_accuracy, 2)}   ({_averaged(outcome)})"),
            ("baseline", f"{tables.percent(report.baseline, 2)}   (always '{report.majority.name}')"),
            ("published", _published(outcome)),
            ("judged", None if outcome.looks is None else tables.looks(outcome.looks.models, outcome.looks.interval)),
            ("top-5", None if report.top5 is None else tables.percent(report.top5, 2)),
            ("loss", f"{report.loss:.4f}"),
            ("time", f"{tables.duration(report.seconds)}, {tables.count(report.images_per_second)} images/s"),
            ("images", None if outcome.per_image is None else tables.short(outcome.per_image)),
            ("wrote", None if outcome.written is None else tables.short(outcome.written)),
            ("limits", _met(outcome)),
        ]
    )
    streams.result("")
    tables.table(("class", "accuracy", "correct", "images", "most often mistaken for"), class_rows(report)[:SHOWN])
    if len(report.per_class) > SHOWN:
        total = len(report.per_class)
        streams.say(f"These are the worst {SHOWN} of {total} classes; --json has all, and the confusion matrix")


def _met(outcome: "EvalOutcome | NetOutcome") -> str | None:
    """Return the limits, if there are some and all are met. An error tells of the others."""
    met = outcome.gates.met(outcome.numbers)
    return f"met: {', '.join(met)}" if met else None


def _averaged(outcome: "EvalOutcome") -> str:
    """Return which classes the balanced accuracy is the mean of."""
    absent, total = outcome.report.without_images, len(outcome.report.per_class)
    if not absent:
        return "mean accuracy of the classes"
    names = f"'{absent[0].name}'" if len(absent) == 1 else counted(len(absent), "class")
    return f"mean accuracy of {total - len(absent)} of {total} classes; {outcome.split} has no image of {names}"


def _published(outcome: "EvalOutcome") -> str | None:
    """Return the published accuracy and whether it can be compared; None for a dataset of another name."""
    reference = outcome.published
    if reference is None or outcome.data != reference.data:
        return None
    verdict = f"not comparable: {', '.join(outcome.incomparable)}" if outcome.incomparable else "same images and split"
    return f"{tables.percent(reference.accuracy, 2)}   ({reference.source}; {verdict})"


def class_rows(report: "EvalReport") -> list[tuple[object, ...]]:
    """Return name, accuracy, correct, images and the most frequent mistake of each class, worst class first."""
    names = [item.name for item in report.per_class]
    order = sorted(range(len(names)), key=lambda place: _accuracy(report, place))
    rows: list[tuple[object, ...]] = []
    for place in order:
        item = report.per_class[place]
        wrong = [0 if other == place else count for other, count in enumerate(report.confusion[place])]
        worst = max(range(len(names)), key=wrong.__getitem__)
        mistake = f"{names[worst]} ({tables.count(wrong[worst])})" if wrong[worst] else ""
        rows.append(
            (item.name, tables.percent(item.accuracy), tables.count(item.correct), tables.count(item.count), mistake)
        )
    return rows


def _accuracy(report: "EvalReport", place: int) -> float:
    """Return the accuracy of a class for sorting: a class without images comes last."""
    accuracy = report.per_class[place].accuracy
    return 2.0 if accuracy is None else accuracy


COMMAND = Command(
    name="eval",
    summary="Measure accuracy on a split, by default test.",
    run=run,
    options=EvalOptions,
    examples=(
        ("resnetctl eval", "the newest run, on test"),
        ("resnetctl eval runs/last/export/model.onnx", "its ONNX file"),
        ("resnetctl eval net.safetensors --data ./photos", "on other images"),
        ("resnetctl eval --split train --per-image images.csv", "find mislabelled images"),
        ("resnetctl eval --min-accuracy 0.9", "exit 5 when it is below"),
        ("resnetctl eval --min-per-class 0.8", "exit 5 when one class is below"),
    ),
)
