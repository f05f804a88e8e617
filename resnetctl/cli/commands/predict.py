"""`predict`."""

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import PredictOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import torch_note
from resnetctl.errors import UsageError
from resnetctl.system.signals import Terminated
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.tasks.nets.predicted import FoundOutcome
    from resnetctl.tasks.predict import Options, PredictOutcome
    from resnetctl.tasks.predictions.ranking import Prediction


def run(parsed: Parsed[PredictOptions]) -> None:
    """Run `predict`."""
    options = parsed.options
    if options.jsonl and (options.as_json or options.csv):
        raise UsageError("choose one output: --csv FILE, --json or --jsonl", where="--jsonl")
    if options.csv is not None:
        _table(options)
    elif options.jsonl:
        _lines(options)
    else:
        _outcome(options)


def _outcome(options: PredictOptions) -> None:
    """Print what was predicted when all of it is known."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings
    from resnetctl.tasks.nets.predicted import FoundOutcome
    from resnetctl.tasks.predict import predicting

    with torch_note():
        outcome = watch(
            predicting(options.target, options.images, settings=settings.load_with(options.threads), **_asked(options))
        )
    if isinstance(outcome, FoundOutcome):
        show_found(outcome, as_json=options.as_json)
    else:
        show(outcome, as_json=options.as_json)
    outcome.require()


def _lines(options: PredictOptions) -> None:
    """Print each prediction as soon as it is known."""
    from resnetctl.cli.screen.progress import Screen
    from resnetctl.facts import Notice, Progress
    from resnetctl.report.problems import Problems
    from resnetctl.system import settings
    from resnetctl.tasks.predict import open_lines

    with torch_note():
        job: Any = open_lines(
            options.target, options.images, settings=settings.load_with(options.threads), options=_asked(options)
        )
    problems, count = Problems(), 0
    with Screen() as screen:
        for fact in chain(job.facts(), job.told()):
            if isinstance(fact, Progress):
                screen.progress(fact)
            elif isinstance(fact, Notice):
                screen.line(streams.notice(fact.text))
            else:
                count += 1
                if fact.problem is not None:
                    problems.add(fact.file, fact.problem)
                streams.result(json.dumps(job.line(fact)))
    problems.require(count)


def _table(options: PredictOptions) -> None:
    """Write the CSV file, and print how many rows it has."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings
    from resnetctl.tasks.predict import open_job
    from resnetctl.tasks.predictions.job import write_table
    from resnetctl.tasks.predictions.subjects import resolve_for

    known = settings.load_with(options.threads)
    target = resolve_for(options.target, options.images, settings=known)
    try:
        with torch_note():
            job = open_job(target, options.images, settings=known, options=_asked(options))
            report, problems = watch(write_table(job, options.csv or ""))
    except (KeyboardInterrupt, Terminated):
        streams.say(streams.one_line(f"{options.csv} keeps the rows so far; the same command goes on from there"))
        raise
    if options.as_json:
        streams.report(report)
    else:
        rows = [
            ("wrote", tables.short(report.csv)),
            ("rows", tables.count(report.images)),
            ("before", f"{tables.count(report.before)} were there already" if report.before else None),
            ("moved", f"{counted(report.moved, 'file')} to {options.move}" if options.move else None),
            ("unreadable", tables.count(report.unreadable) if report.unreadable else None),
        ]
        tables.pairs(rows)
    problems.require(report.images)


def _asked(options: PredictOptions) -> "Options":
    """Return the options of the task."""
    return {
        "top": options.top,
        "level": options.level,
        "max_pixels": options.max_pixels,
        "batch": options.batch,
        "move": options.move,
        "out": options.out,
        "min_score": options.min_score,
        "vectors": options.vectors,
        "precision": options.precision,
    }


def show_found(outcome: "FoundOutcome", *, as_json: bool) -> None:
    """Print a line for each box, or for each class of a mask, and what was written."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    if outcome.form == "boxes":
        boxes = [
            (item.file, name, f"{score:.3f}", *(f"{corner:.1f}" for corner in box))
            for item in outcome.results
            for name, score, box in item.boxes
        ]
        if boxes:
            tables.table(("file", "class", "score", "x1", "y1", "x2", "y2"), boxes)
        for item in outcome.results:
            if not item.boxes and item.problem is None:
                streams.say(streams.one_line(f"no box found in {item.file}: a smaller --min-score shows weaker ones"))
    elif outcome.form in ("tags", "labels"):
        labels = [(item.file, name, f"{share:.4f}") for item in outcome.results for name, share in item.labels]
        if labels:
            tables.table(("file", "class", "probability"), labels)
        for item in outcome.results:
            if not item.labels and item.problem is None:
                streams.say(streams.one_line(f"no label for {item.file}: a smaller --min-score shows weaker ones"))
    elif outcome.form == "masks":
        shares = [(item.file, name, tables.percent(share)) for item in outcome.results for name, share in item.shares]
        tables.table(("file", "class", "of the pixels"), shares)
    else:
        outputs = [(item.file, *pair) for item in outcome.results for pair in item.outputs.items()]
        rows = [
            (file, name, " ".join(f"{value:.4g}" for value in values.ravel().tolist()))
            for file, name, values in outputs
        ]
        tables.table(("file", "output", "values"), rows)
    for item in outcome.results:
        if item.written is not None:
            streams.say(streams.one_line(f"wrote {item.written}"))


def show(outcome: "PredictOutcome", *, as_json: bool) -> None:
    """Print a line for each file and class."""
    for notice in outcome.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(outcome)
        return
    if not any(item.guesses for item in outcome.results):
        return
    has_sets = any(item.classes is not None for item in outcome.results)
    has_remarks = any(item.is_strange for item in outcome.results)
    header = ("file", "class", "probability", *(["set"] if has_sets else []), *(["remark"] if has_remarks else []))
    rows = []
    for item in outcome.results:
        extra = ([_set(item.classes or ())] if has_sets else []) + ([_remark(item)] if has_remarks else [])
        for place, (name, share) in enumerate(item.guesses):
            rows.append((item.file, name, f"{share:.4f}", *(extra if not place else [""] * len(extra))))
    tables.table(header, rows)


def _set(classes: tuple[str, ...]) -> str:
    """Return the classes of a prediction set, which may be empty."""
    return ", ".join(classes) or "no class"


def _remark(item: "Prediction") -> str:
    return "unlike anything in training" if item.is_strange else ""


COMMAND = Command(
    name="predict",
    summary="Classify image files with a run, a weights file or an ONNX file.",
    run=run,
    options=PredictOptions,
    examples=(
        ("resnetctl predict last cat.jpg dog.png", "with the newest run"),
        ("resnetctl predict model.onnx ./photos --top 3", "an ONNX file needs no PyTorch"),
        ("resnetctl predict model.onnx photos.zip --csv classes.csv", "any number of images; goes on after a stop"),
        ("resnetctl predict last ./inbox --move sorted", "each file into the folder of its class"),
        ("resnetctl predict last cells.jpg --out drawn", "boxes, or masks, of a network with a head"),
        ("resnetctl predict last ./new --vectors measured.csv", "a network that reads numbers with each image"),
        ("resnetctl predict last cat.jpg --set 0.9", "the classes that hold the true one in 90 % of the cases"),
    ),
)
