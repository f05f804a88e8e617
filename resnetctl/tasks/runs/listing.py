"""`runs list`, `show` and `export`: the runs on disk, the unfinished ones too. No torch."""

import contextlib
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.config.defaults import other_block
from resnetctl.config.layers import flatten, from_file, nest
from resnetctl.config.options import flags
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import ResnetctlError, UsageError
from resnetctl.hints import Setting, closest
from resnetctl.report.base import Report
from resnetctl.runs import RunDir, all_runs
from resnetctl.runs.log import kept_line, val_key
from resnetctl.wording import counted

CHOSEN_BY_ARCH = ("default", "rule", "weights")  # origins of a block that the user did not choose
TITLES = {  # of columns on the screen, as keys for sorting and choosing
    "val_acc": ("val_top1", "val"), "test_acc": ("test_top1", "test"), "started": ("created",),
    "epochs_trained": ("epochs_trained",),
}  # fmt: skip
CONFIG_FIRST = ("epochs",)  # words that mean the config key where runs are chosen and sorted, although a fact has them
SHOWN = 5  # values of a key that no run has as asked
VAL_IMAGES = ("val_fraction", "split_seed")  # config keys that choose them
MANY = 5  # files of a folder; more of them are one line on the screen
HEADER = (  # columns of every exported table
    "name", "status", "arch", "block", "data", "recipe", "seed", "epochs", "epochs_planned", "epochs_trained",
    "val_top1", "test_top1", "created", "failure", "path", "val_images", "test_images", "best",
)  # fmt: skip
KINDS = {  # of facts; the others are text
    "epochs": int, "epochs_planned": int, "epochs_trained": int, "seed": int,
    "val_top1": float | int, "test_top1": float | int, "val": float | int, "test": float | int,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ListReport(Report):
    """The `details` of every run, oldest first if `sort` names no other order.

    `best` is true for the best val number of the listed runs that share their val images, if there are two or more.
    """

    schema: ClassVar[str] = "resnetctl.runs.list/1"
    runs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class ShowReport(Report):
    """One run.

    Attributes:
        facts: see `facts`.
        files: bytes of each file.
        metrics, timings: one entry an epoch, from the run's logs.
        summary: the content of `summary.json`, None while the run is not finished.
    """

    schema: ClassVar[str] = "resnetctl.runs.show/1"
    facts: Mapping[str, Any]
    path: Path
    files: Mapping[str, int]
    metrics: tuple[Mapping[str, Any], ...]
    timings: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any] | None

    def body(self) -> dict[str, Any]:
        """Return the facts at the top level, then the rest."""
        values = super().body()
        return {**values.pop("facts"), **values}


def list_runs(folder: Path, *, sort: str = "", where: Sequence[str] = (), reverse: bool = False) -> ListReport:
    """Return the report on the runs in `folder` and in its groups.

    Args:
        sort: a name of `facts`, a column or a config key; runs without a value come first.
        where: conditions `key=value`; a run is listed when all of them hold.

    Raises:
        UsageError: a condition has no `=`, or no run has the key.
    """
    rows = [details(run) for run in all_runs(folder)]
    for condition in where:
        rows = _with(condition, rows)
    marks = _bests(rows)
    rows = [{**row, "best": mark} for row, mark in zip(rows, marks, strict=True)]
    if sort:
        order = sorted(enumerate(_column(rows, sort, "sort")), key=lambda item: _rank(item[1]))
        rows = [rows[place] for place, _ in order]
    return ListReport(runs=tuple(rows[::-1] if reverse else rows))


def _with(condition: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    key, equals, text = condition.partition("=")
    if not equals:
        raise UsageError(f"'{condition}' is not key=value", where=Setting("where"), hint=Setting("where", "seed=0"))
    return [row for row, value in zip(rows, _column(rows, key, "where"), strict=True) if _is(value, text)]


def why_none(folder: Path, where: Sequence[str]) -> str:
    """Return why no run meets the conditions: how many runs there are, and the values that the key has instead."""
    rows = [details(run) for run in all_runs(folder)]
    if not rows:
        return ""
    count = counted(len(rows), "run")
    for place, condition in enumerate(where):
        left = _with(condition, rows)
        if not left:
            values = _column(rows, key := condition.partition("=")[0], "where")
            texts = list(
                dict.fromkeys("(none)" if value is None else _text(value) for value in sorted(values, key=_rank))
            )
            more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
            among = f" where {' and '.join(where[:place])}" if place else ""
            seen = f"{key} is {', '.join(texts[:SHOWN])}{more}{among}"
            return f"No run has {' and '.join(where)}; {count} in {folder}. {seen}"
        rows = left
    return ""


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a row of `list_runs`, then its config by dotted key."""
    facts = {key: value for key, value in row.items() if key not in ("config", "evals")}
    return facts | {f"config.{key}": value for key, value in flatten(row.get("config", {})).items()}


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of all columns, those of `HEADER` if there is no row. A list is written as JSON."""
    file = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row) or HEADER
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for key, value in row.items()}
        for row in rows
    )
    return file.getvalue()


def show(run: RunDir) -> ShowReport:
    """Return the report on one run. Raises `InputError` when its logs cannot be read."""
    return ShowReport(
        facts=facts(run),
        path=run.path,
        files=files(run),
        metrics=tuple(run.metrics()),
        timings=tuple(run.timings()),
        summary=run.summary(),
    )


def details(run: RunDir) -> dict[str, Any]:
    """Return the `facts` of a run, then path, digests of its images, config, and figures of its reports in `eval/`.

    Runs with the same val images have the same `val_images`, a short digest. `test_images` is that of the images that
    the number on test is of, None without one.
    """
    row = facts(run)
    if row["status"] == "unreadable":
        return row
    reports = run.evals()
    evals = {name: _figures(report) for name, report in reports.items()}
    config = nest(from_file(run.config).values)
    images = {"val_images": _val_images(run, config), "test_images": _test_images(row, reports)}
    return {**row, "path": str(run.path), **images, "config": config, "evals": evals}


def _test_images(row: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the digest of the images that the number on test is of."""
    if row.get("test_top1", row.get("test")) is None:
        return None
    return str(reports[f"{row['data']}-test"].get("images", ""))[:12] or None


def _val_images(run: RunDir, config: Mapping[str, Any]) -> str:
    """Return a digest of what chooses the val images: the data's own val split, or train and the config keys."""
    data = run.environment().get("data", {}) or {}
    digests = data.get("digests", {}) or {}
    chosen = [digests.get("train"), *(config.get(key) for key in VAL_IMAGES)]
    parts = [digests["val"]] if "val" in digests else [None if digests else config.get("data"), *chosen]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]


def facts(run: RunDir) -> dict[str, Any]:
    """Return name, status, arch, data, seed, recipe, epochs, accuracies and start of a run.

    `epochs` and `epochs_trained` are the same number; the config key `epochs` is `epochs_planned`, None with `steps`.
    The accuracies are those of the weights that the run keeps: of its best epoch so far, or of its last one. The status
    is running, finished, unfinished, failed or unreadable. `block` is None if it is the arch's own, and `recipe` if no
    recipe was used. `test_top1` is None if `eval` has not measured these weights on the test split of `data`. A run
    with a head has `primary`, e.g. `map50`, and this number as `val` and `test` instead.
    """
    name = run.name
    try:
        values = _read(run, name)
    except ResnetctlError:
        return {"name": name, "status": "unreadable"}
    is_right = all(value is None or isinstance(value, KINDS.get(key, str)) for key, value in values.items())
    return values if is_right else {"name": name, "status": "unreadable"}


def _read(run: RunDir, name: str) -> dict[str, Any]:
    """Return the facts of a run from its files, which may hold values of any type."""
    summary, failure, metrics, origins = run.summary(), run.failure(), run.metrics(), sources(run)
    config = from_file(run.config).values
    primary = next((key.removeprefix("val_") for line in metrics if (key := val_key(line))), "top1")
    kept = kept_line(metrics, keep=config.get("keep"))
    on_test = _on_test(run, primary, config=config, epoch=kept.get("epoch"))
    numbers = {"val": kept.get(f"val_{primary}"), "test": on_test}
    recipes = [origin.removeprefix("recipe ") for origin in origins.values() if origin.startswith("recipe ")]
    return {
        "name": name,
        "status": _status(run, finished=summary is not None, failed=failure is not None),
        "arch": summary.get("arch") if summary is not None else config.get("model.arch"),
        "block": _other_block(config, origins.get("model.block", "default")),
        "data": config.get("data"),
        "recipe": recipes[0] if recipes else None,
        "seed": config.get("seed"),
        "epochs": len(metrics),
        "epochs_planned": None if config.get("steps") else config.get("epochs"),
        "epochs_trained": len(metrics),
        **({f"{split}_top1": value for split, value in numbers.items()} if primary == "top1" else {}),
        **({} if primary == "top1" else {"primary": primary, **numbers}),
        "created": run.created() or None,
        "failure": failure or None,
    }


def _other_block(config: Mapping[str, Any], origin: str) -> Any:
    """Return the block of a run if it is not that of its arch. For an arch that is not installed, the origin tells."""
    arch, block = config.get("model.arch"), config.get("model.block")
    if not block or origin == "default" or not isinstance(arch, str):
        return None
    other = other_block(arch, block)
    return (block if origin not in CHOSEN_BY_ARCH else None) if other is None else other or None


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main figures of a report in `eval/`."""
    own = ("top1", "balanced_accuracy", "loss") if "primary" not in report else ("primary", str(report["primary"]))
    return {key: report.get(key) for key in ("data", "split", *own, "count", "interval", "epoch")}


def _on_test(run: RunDir, name: str, *, config: Mapping[str, Any], epoch: Any) -> Any:
    """Return the number on test that `eval` measured; None without one, and for weights of another epoch."""
    report = run.evals().get(f"{config.get('data')}-test", {})
    return report.get(name) if report.get("epoch") == epoch else None


def _status(run: RunDir, *, finished: bool, failed: bool) -> str:
    if run.is_running():
        return "running"
    return "finished" if finished else "failed" if failed else "unfinished"


def sources(run: RunDir) -> dict[str, str]:
    """Return the origin of each config value; {} when it cannot be read."""
    with contextlib.suppress(ResnetctlError):
        return run.sources()
    return {}


def files(run: RunDir) -> dict[str, int]:
    """Return every file of the run with its size in bytes."""
    paths = sorted(path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(run.path)): path.stat().st_size for path in paths}


def folded(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return count and bytes of each file of `files`; more than `MANY` files of one folder are one entry."""
    folders = Counter(name.rpartition("/")[0] for name in sizes)
    entries: dict[str, tuple[int, int]] = {}
    for name, size in sizes.items():
        folder = name.rpartition("/")[0]
        key = f"{folder}/" if folder and folders[folder] > MANY else name
        count, total = entries.get(key, (0, 0))
        entries[key] = (count + 1, total + size)
    return entries


def _bests(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return which rows have the best val number of at least two with the same val images; equal ones all have it."""
    groups: dict[tuple[str, ...], list[float]] = {}
    keys, values = [], []
    for row in rows:
        number = row.get("primary", "top1")
        keys.append((str(row.get("val_images")), str(number)))
        values.append(row.get("val_top1" if number == "top1" else "val"))
        if values[-1] is not None:
            groups.setdefault(keys[-1], []).append(values[-1])
    return [
        value is not None and len(groups[key]) > 1 and value == max(groups[key])
        for key, value in zip(keys, values, strict=True)
    ]


def _column(rows: Sequence[Mapping[str, Any]], key: str, setting: str) -> list[Any]:
    """Return the value of `key` of each row: a fact, a column, a config key, or the name of a flag; None without one.

    A fact that is missing may be in the config: `block` of a run with the block of its arch. `epochs` is the config key
    here, as every other key of the config is; the epochs that a run has trained are `epochs_trained`.
    """
    keys = {flag.flag.removeprefix("--").replace("-", "_"): flag.key for flag in flags(FinetuneConfig)}
    word = key.strip().replace("-", "_").replace(" ", "_")
    own = () if word in CONFIG_FIRST else (key, *TITLES.get(word, ()))
    names = (*own, f"config.{key}", f"config.{keys.get(word, key)}")
    tables = [flat(row) for row in rows]
    known = {name for table in tables for name in table}
    if rows and not known.intersection(names):
        facts = {name for name in known if not name.startswith("config.")}
        near = closest(key, facts | {name.removeprefix("config.") for name in known})
        hint = near or f"known: {', '.join(sorted(facts))}, and every config key"
        raise UsageError(f"no run has '{key}'", where=Setting(setting), hint=hint)
    return [next((table[name] for name in names if table.get(name) is not None), None) for table in tables]


def _is(value: Any, text: str) -> bool:
    """Return whether a value is the one that the user wrote: numbers are compared as numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text == _text(value)
    with contextlib.suppress(ValueError):
        return float(text) == value
    return False


def _text(value: Any) -> str:
    """Return a value as a condition writes it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _rank(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts nothing before numbers, and numbers before text."""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return (0, 0.0, "") if value is None else (2, 0.0, str(value))
