"""`predict` with a CSV file: any number of images, and a stopped job goes on where it was."""

import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import DataError
from resnetctl.facts import Notice, Progress
from resnetctl.report.base import Report
from resnetctl.report.problems import Problems
from resnetctl.system.plain_files import close_path
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.predict import Job
from resnetctl.tasks.predictions.ranking import Prediction
from resnetctl.tasks.predictions.table import FLUSH_EVERY, Table, open_table
from resnetctl.tasks.targets import Opened

DIGITS = 12  # hex digits that tell weights, or the numbers of an image, apart


@dataclass(frozen=True, kw_only=True)
class JobReport(Report):
    """What a job wrote.

    Attributes:
        csv: the table.
        images: its rows, with those of earlier calls.
        before: rows of earlier calls whose images were read.
        moved: files that this call moved.
        unreadable: images of this call that cannot be read; `problems` has a line for each, 1,000 at most.
        notices: sentences for the user.
    """

    schema: ClassVar[str] = "resnetctl.predict.csv/1"
    csv: Path
    images: int
    before: int
    moved: int
    unreadable: int
    problems: tuple[str, ...]
    notices: tuple[str, ...]


def write_table(job: Job, csv: str | Path) -> Generator[Notice | Progress, None, tuple[JobReport, Problems]]:
    """Write one row for each image into the file `csv`; yield notices and the progress.

    Images that have a row there are not read again, unless it has a problem. A row is written before its file moves, so
    no result is lost; when files move, one that has a row and did not move is classified again, and moved.

    Raises:
        UsageError: `csv` is another table, or has predictions of other weights, or of images that have other numbers
            now.
        DataError: a folder, an archive or a pattern gives no image, or no file exists; nothing was written.
    """
    if job.nothing:
        missing = next((path for path in job.images if not os.path.lexists(path)), None)
        raise DataError(
            "there is nothing to classify here; nothing was written",
            problems=job.nothing,
            hint=[] if missing is None else close_path(missing),
        )
    count = min(job.ranking.top, len(job.opened.card.classes))
    columns = list(_columns(count, level=job.ranking.level))
    weights = _network(job.opened)[:DIGITS]
    notices: list[str] = []
    moved = 0
    with open_table(Path(csv), weights=weights, columns=columns, numbers=_numbers(job)) as table:
        waiting: list[Prediction] = []
        for fact in job.facts(table.is_done if job.mover is None else lambda name: False):
            if not isinstance(fact, Prediction):
                notices.extend([fact.text] if isinstance(fact, Notice) else [])
                yield fact
                continue
            if job.mover is None or not table.is_done(str(fact.file)):
                _add(table, fact)
            waiting.append(fact)
            if len(waiting) >= FLUSH_EVERY:
                moved += _move(job, table, waiting)
        moved += _move(job, table, waiting)
        for notice in job.told():
            notices.append(notice.text)
            yield notice
    problems = table.problems
    report = JobReport(
        csv=Path(csv), images=table.rows, before=table.before, moved=moved,
        unreadable=problems.count, problems=problems.listed(), notices=tuple(notices),
    )  # fmt: skip
    return report, problems


def _network(opened: Opened | Answering) -> str:
    """Return a digest of all that decides the probabilities: what decides the logits, and the temperature."""
    temperature = opened.card.temperature
    return opened.digest if temperature == 1 else sha256(f"{opened.digest} {temperature!r}".encode()).hexdigest()


def _numbers(job: Job) -> dict[str, str] | None:
    """Return a digest of the numbers of each image, by its path; None for a network that reads none."""
    if job.numbers is None:
        return None
    names = (str(Path(item.name)) for item in job.items(Counter()))
    return {name: sha256(row.tobytes()).hexdigest()[:DIGITS] for name, row in zip(names, job.numbers, strict=True)}


def _columns(top: int, *, level: float | None) -> Iterator[str]:
    for number in range(1, top + 1):
        end = "" if number == 1 else f"_{number}"
        yield f"class{end}"
        yield f"probability{end}"
    if level is not None:
        yield f"set_{level:g}"


def _add(table: Table, item: Prediction) -> None:
    if item.problem is not None:
        table.problems.add(item.file, item.problem)
        table.add(str(item.file), [""] * table.values, problem=item.problem.message)
        return
    values: list[Any] = [value for name, share in item.guesses for value in (name, f"{share:.6g}")]
    if item.classes is not None:
        values.append(json.dumps(item.classes, ensure_ascii=False))
    table.add(str(item.file), values)


def _move(job: Job, table: Table, waiting: list[Prediction]) -> int:
    """Move the files whose rows the system has; return how many moved."""
    table.flush()
    count = sum(job.moved(item).moved not in (None, item.file) for item in waiting)
    waiting.clear()
    return count
