"""`runs compare`: what differs in the config of several runs, and what came out. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import UsageError
from resnetctl.hints import Call
from resnetctl.report.base import Report
from resnetctl.runs import RunDir, find, matching, runs_in
from resnetctl.runs.differing import differing, is_off
from resnetctl.runs.finding import is_pattern
from resnetctl.runs.folder import GROUP
from resnetctl.runs.plugins import mixed_plugins
from resnetctl.tasks.runs.difference import environment_of
from resnetctl.tasks.runs.listing import details, flat

RESULTS = ("status", "epochs", "val_top1", "test_top1", "primary", "val", "test", "seconds")
OF_HEADS = ("primary", "val", "test")


@dataclass(frozen=True, kw_only=True)
class CompareReport(Report):
    """Several runs side by side; each list has one value for each run, None where a run has none.

    Attributes:
        runs: the names.
        config: the values of each config key that differs, by dotted key.
        unused: the keys of `config` that no run uses, such as `distill.weight` without a teacher.
        data: name and digests of the data, where they differ, by dotted key.
        same_val, same_test: whether all runs that measured val, or test, did so on the same images.
        results: status, epochs, accuracies and seconds.
        shared: if the runs have no test in common, their numbers on another one that `eval` measured for all of them on
            the same images, by its dataset.
        plugins: a sentence for each plugin of which the runs used several versions, or other code.
    """

    schema: ClassVar[str] = "resnetctl.runs.compare/1"
    runs: tuple[str, ...]
    config: Mapping[str, tuple[Any, ...]]
    data: Mapping[str, tuple[Any, ...]]
    same_val: bool
    same_test: bool
    results: Mapping[str, tuple[Any, ...]]
    shared: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def chosen(texts: Sequence[str], folder: Path) -> list[RunDir]:
    """Return the runs that names, paths, patterns such as `lr-*` and groups stand for, each once.

    A group stands for its runs that have begun. Raises `InputError` when there is no such run.
    """
    runs = [run for text in texts for run in _runs_of(text, folder)]
    return list({run.path.resolve(): run for run in runs}.values())


def _runs_of(text: str, folder: Path) -> list[RunDir]:
    for path in (Path(text), folder / text):
        if (path / GROUP).is_file():
            return runs_in(path)
    if not is_pattern(text, folder):
        return [find(text, folder)]
    return [run for item in matching(text, folder) for run in (runs_in(item.path) or [item]) if run.config.is_file()]


def compare(runs: Sequence[RunDir]) -> CompareReport:
    """Return the report on at least two runs.

    Raises:
        UsageError: there are fewer than two.
        InputError: a run cannot be read.
    """
    if len(runs) < 2:
        raise UsageError("a comparison needs two runs", hint=Call("runs list"))
    for run in runs:
        run.read_config()  # raises for a run that cannot be read
    rows = [flat(details(run)) | {"seconds": (run.summary() or {}).get("seconds")} for run in runs]
    keys = list(dict.fromkeys(key for row in rows for key in row if key.startswith("config.")))
    columns = {key.removeprefix("config."): tuple(row.get(key) for row in rows) for key in keys}
    data = [{key: value for key, value in environment_of(run).items() if key.startswith("data.")} for run in runs]
    digests = {key: tuple(row.get(key) for row in data) for key in dict.fromkeys(key for row in data for key in row)}
    measured = {row["val_images"] for row in rows if row.get("val_top1", row.get("val")) is not None}
    config = differing(columns)
    tests = [row.get("test_images") for row in rows]
    return CompareReport(
        runs=tuple(row["name"] for row in rows),
        config=config,
        unused=tuple(key for key in config if is_off(key, columns)),
        data=differing(digests),
        same_val=len(measured) < 2,
        same_test=len({*tests} - {None}) < 2,
        shared={} if len({*tests}) == 1 and None not in tests else _shared(runs, rows),
        results={
            key: tuple(row.get(key) for row in rows)
            for key in RESULTS
            if key not in OF_HEADS or any(row.get(key) is not None for row in rows)
        },
        plugins=mixed_plugins(runs),
    )


def _shared(runs: Sequence[RunDir], rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the numbers on tests that were measured for the kept weights of all runs, on the same images."""
    shared = {}
    found = [run.evals() for run in runs]
    for name in found[0].keys() & set.intersection(*map(set, found)):
        reports = [each[name] for each in found]
        data, images = reports[0].get("data"), {report.get("images") for report in reports}
        is_whole = name == f"{data}-test" and len(images) == 1 and None not in images
        if is_whole and all(item.get("epoch") == run.kept_epoch() for item, run in zip(reports, runs, strict=True)):
            primary = [row.get("primary") or "top1" for row in rows]
            shared[str(data)] = tuple(item.get(key) for item, key in zip(reports, primary, strict=True))
    return dict(sorted(shared.items()))
