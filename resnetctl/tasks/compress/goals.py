"""`compress` with a goal or a student: the networks are cut, trained, exported and compared, and the best one is kept.

With a goal, the result is a checked ONNX file that is fast, small and accurate enough. A network that breaks a limit is
rejected: without int8, more must be cut.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnetctl.compress.cost import multiply_adds, params
from resnetctl.compress.int8 import Limits
from resnetctl.compress.latency import BASE, latencies, speedups
from resnetctl.data.splits import open_eval_set
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.errors import CheckFailed, DataError
from resnetctl.facts import Notice
from resnetctl.hints import Call
from resnetctl.report.page import pareto_file
from resnetctl.runs import RunDir
from resnetctl.tasks.compress.attempts import CUT, STUDENT, Attempt, File, choose
from resnetctl.tasks.compress.clock import Took, after_training
from resnetctl.tasks.compress.exports import int8_file
from resnetctl.tasks.compress.report import FLOAT, INT8, Accuracy, CompressReport, StageFacts
from resnetctl.tasks.compress.smaller import Limit
from resnetctl.tasks.compress.steps import STUDENT_STAGES, OutOfTime, Steps, stages_of
from resnetctl.tasks.held_out import look
from resnetctl.tasks.targets import Target, described
from resnetctl.weights.file import read_header
from resnetctl.wording import counted

LARGE = "64"  # images a batch of a pass
MAX_DROP = 1.0  # percent points on val, unless the order says otherwise
Work = Generator[Any, None, None]


def reach(steps: Steps) -> Generator[Any, None, CompressReport]:
    """Yield the facts of the training; return the report of the published run.

    Raises:
        CheckFailed: no network keeps all limits. The error names the best of each attempt; the stages stay. Or the
            student is slower than the whole network.
    """
    goal, undone, is_over = _Goal(steps), list[str](), False
    if goal.is_on_test:
        yield Notice(f"{steps.judge.doubt}: what is lost is judged on test, once, at the end")
    else:
        yield from map(Notice, steps.judge.notices)
    if steps.order.student:
        yield from steps.student()  # one that is too slow is an error before any other work
    for number, int8 in enumerate((True, False) if steps.order.int8 else (False,)):
        attempts, lost = [], list[str]()
        for name in (CUT, STUDENT) if steps.order.student else (CUT,):
            attempts.append(attempt := Attempt(name=name))
            try:
                yield from goal.tried(attempt, number, int8=int8)
            except CheckFailed as error:
                attempt.problem, is_over = _text(error), is_over or isinstance(error, OutOfTime)
                lost.append(f"{goal.label(attempt, int8=int8)}: {attempt.problem}")
                yield Notice(f"rejected: {lost[-1]}")
        if not all(attempt.problem for attempt in attempts):
            return goal.published(attempts, undone=tuple(undone))
        undone += lost
    raise _failed(steps, undone, is_over=is_over)


def _failed(steps: Steps, problems: Sequence[str], *, is_over: bool = False) -> CheckFailed:
    """Return the error, with what can be done about the stages that are left; with more time the work can go on."""
    path, hints = steps.staged.path, list[Call]()
    if steps.staged.has_stages:
        more = Call("compress", settings={"name": path.name, "budget": "TIME"}, note="goes on with more time")
        hints = [*([more] if is_over else []), Call("runs remove", (path,), note="deletes its stages")]
    return CheckFailed(
        "no network keeps all limits on this machine; no run was published",
        where=str(path) if hints else None,
        problems=problems,
        hint=hints,
    )


class _Goal:
    """The limits of an order, and the files that are held against them."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._order = steps.order
        self._max_drop = MAX_DROP if steps.order.max_drop is None else steps.order.max_drop
        self.is_on_test = steps.order.has_goal and steps.judge.doubt != "" and _test_count(steps) > 0

    def _reserve(self, attempt: Attempt, *, int8: bool) -> float:
        """Return the seconds of a budget that the work after the training of this attempt needs; 0 without one."""
        if not self._steps.clock.budget:
            return 0.0
        whole = self._steps.whole.took
        last = whole.predict / attempt.speedup[LARGE].median if int8 else 0.0
        left = [replace(attempt.files[0].took, int8=last)]
        if self._order.student and attempt.name == CUT:
            left.append(self._of_student(whole, int8=int8))
        return after_training(
            left, slowest=whole, val=self._steps.whole.accuracy.count, test=_test_count(self._steps),
            is_whole_tested=self.is_on_test,
        )  # fmt: skip

    def _of_student(self, whole: Took, *, int8: bool) -> Took:
        """Return what the files of the student will take, by their measured speed."""
        facts, _ = self._steps.competitor()
        assert facts is not None
        forms = {form: whole.predict / file.speedup[LARGE].median for form, file in facts.forms.items()}
        return replace(whole, predict=forms[FLOAT], int8=forms[INT8] if int8 else 0.0)

    def label(self, attempt: Attempt, *, int8: bool) -> str:
        """Return the name of an attempt in a list of them."""
        form = INT8 if int8 else FLOAT
        return f"{attempt.label}, {form}" if self._order.student else form

    def tried(self, attempt: Attempt, number: int, *, int8: bool) -> Work:
        """Cut or take the student, train, export and quantise. Raises `CheckFailed` when a limit is broken."""
        if attempt.name == CUT:
            stages, needed = stages_of(number), (yield from self._cut(attempt, number, int8=int8))
        else:
            stages, needed = STUDENT_STAGES, (yield from self._student(attempt, int8=int8))
        attempt.files.append(self._steps.file(stages.start))
        reserve = self._reserve(attempt, int8=int8)
        attempt.last = last = yield from self._steps.train(stages, reserve=reserve)
        attempt.files.append(self._steps.file(stages.train))
        if self._order.has_goal:
            self._finish(attempt, last, int8=int8, needed=needed)

    def _cut(self, attempt: Attempt, number: int, *, int8: bool) -> Generator[Any, None, float]:
        """Cut the network. Return the speed-up that the file must keep, 0 for any."""
        order = self._order
        limit = Limit(target_ms=order.target_ms, size=order.size_bytes, int8=int8) if order.has_goal else None
        attempt.cut = cut = yield from self._steps.cut(number, limit=limit)
        attempt.speedup = cut.speedup
        return self._needed(None if cut.table is None else cut.table.whole)

    def _student(self, attempt: Attempt, *, int8: bool) -> Generator[Any, None, float]:
        """Hold the student against the limits of speed and size. Return the speed-up that the file must keep."""
        facts = yield from self._steps.student()
        file, needed = facts.forms[INT8 if int8 else FLOAT], self._needed(facts.milliseconds[0])
        attempt.speedup = file.speedup
        gain = file.speedup["1"].median
        if gain < needed:
            raise CheckFailed(f"it is {gain:.2f} times as fast, and {needed:.2f} times are needed")
        self._require_size(file.bytes)
        return needed

    def _needed(self, whole_ms: float | None) -> float:
        """Return the speed-up that the order asks for; 0: any."""
        if self._order.target_ms is not None and whole_ms is not None:
            return whole_ms / self._order.target_ms
        return self._order.speedup or 0.0

    def _finish(self, attempt: Attempt, last: RunDir, *, int8: bool, needed: float) -> None:
        """Hold the trained network against the limits of a goal, and write its files. Raises `CheckFailed`."""
        trained, allowed = attempt.files[-1], self._max_drop
        drop = 100 * (self._steps.whole.accuracy.top1 - trained.accuracy.top1)
        if self.is_on_test:
            allowed, drop = min(allowed, Limits.max_drop), 0.0  # of int8 alone
        elif drop > allowed:
            raise CheckFailed(
                f"{trained.name} loses {drop:.2f} points on val, and {allowed:g} are allowed",
                problems=[f"{attempt.speedup['1'].median:.2f} times as fast, {trained.accuracy.top1:.2%} on val"],
            )
        if int8:
            header, rest = read_header(last.weights), max(0.0, allowed - drop)
            last_checks = self._reserve(attempt, int8=False)
            limits = Limits(max_drop=rest, until=time.monotonic() + self._steps.clock.left - last_checks)
            judge, name = self._steps.judge_of(header.card), f"{STUDENT}-{INT8}" if attempt.name == STUDENT else INT8
            attempt.files.append(file := int8_file(judge, header, source=trained, name=name, limits=limits))
            self._require_speed(file, needed)
        self._require_size(len(attempt.files[-1].data))

    def _require_speed(self, file: File, needed: float) -> None:
        """Raise `CheckFailed` when the layers that went back to float32 made the file slower than the goal."""
        if not needed or not file.float_layers:
            return
        base, model = (from_bytes(each.data, each.name) for each in (self._steps.whole, file))
        images = {BASE: self._steps.judge.seen(), INT8: self._steps.judge_of(file.card).seen()}
        median = speedups(base, {INT8: model}, images=images, sizes=(1,))[INT8][1].median
        if median < needed:
            layers = counted(len(file.float_layers), "layer")
            raise CheckFailed(
                f"with {layers} in float32 it is {median:.2f} times as fast, and {needed:.2f} times are needed"
            )

    def _require_size(self, count: int) -> None:
        """Raise `CheckFailed` for a file of more bytes than the order allows."""
        most = self._order.size_bytes
        if most and count > most:
            raise CheckFailed(f"its file has {count:,} bytes, and {most:,} are allowed")

    def _require_test(self, kept: Attempt, after: Accuracy | None, undone: Sequence[str]) -> Accuracy | None:
        """Return the accuracy of the whole network on test, None where val judges. Raises `CheckFailed` for a loss."""
        before, _ = _on_test(self._steps, self._steps.target, self._steps.whole) if self.is_on_test else (None, ())
        if before is None or after is None:
            return None
        drop = 100 * (before.top1 - after.top1)
        if drop > self._max_drop:
            last, gain = kept.files[-1].name, kept.speedup["1"].median
            lost = f"{last} loses {drop:.2f} points on test, and {self._max_drop:g} are allowed"
            raise _failed(self._steps, [*undone, f"{lost} ({gain:.2f} times as fast, {after.top1:.2%} on test)"])
        return before

    def published(self, attempts: Sequence[Attempt], *, undone: tuple[str, ...]) -> CompressReport:
        """Choose the network to keep, measure all stages, open test once, and make the run."""
        steps, run = self._steps, RunDir(self._steps.staged.path)
        order = self._order
        kept, choice = choose(attempts, is_cut_the_measure=order.names_shape)
        assert kept.last is not None
        last = kept.files[-1]
        test, notices = _on_test(steps, kept.last.weights, last) if order.has_goal else (None, ())
        before = self._require_test(kept, test, undone)
        for file in kept.files[1:] if order.has_goal else ():
            kept.last.write_onnx(file.data, int8=file.is_int8)
        files = [self._steps.whole, *(file for attempt in attempts for file in attempt.files)]
        stages = _facts(steps, files)
        student, more = steps.competitor()
        report = CompressReport(
            path=run.weights,
            target=steps.target,
            data=order.data,
            cut=attempts[0].cut,
            student=student,
            choice=choice,
            run=run.path,
            trained=kept.trained,
            file=(run.int8_onnx if last.is_int8 else run.onnx) if order.has_goal else None,
            stages=stages,
            undone=undone,
            test=test,
            test_before=before,
            seconds=steps.clock.used,
            notices=(*notices, *more),
        )
        points = [(item.name, item.latency["1"].p50, item.accuracy.top1, item.accuracy.interval) for item in stages]
        steps.staged.publish(kept.last, report.to_json(), plot=pareto_file(points))
        return report


def _text(error: CheckFailed) -> str:
    problems = "; ".join(error.problems)
    return f"{error.message}{f' ({problems})' if problems else ''}"


def _facts(steps: Steps, files: Sequence[File]) -> tuple[StageFacts, ...]:
    models = {file.name: from_bytes(file.data, file.name) for file in files}
    images = {file.name: steps.judge_of(file.card).seen() for file in files}
    times = latencies(models, images=images)
    return tuple(
        StageFacts(
            name=file.name,
            params=params(file.net),
            multiply_adds=multiply_adds(file.net, file.card.image),
            bytes=len(file.data),
            accuracy=file.accuracy,
            latency={str(size): latency for size, latency in times[file.name].items()},
        )
        for file in files
    )


def _test_count(steps: Steps) -> int:
    """Return the number of test images, 0 without a test split."""
    return steps.store.card.splits.get("test", 0)


def _on_test(steps: Steps, weights: Path, file: File) -> tuple[Accuracy | None, tuple[str, ...]]:
    """Return the accuracy of a file on test, and notices. The look is recorded, as one of its weights."""
    try:
        images = open_eval_set(steps.store, "test", val_split=None)
    except DataError as error:
        return None, (f"not measured on test: {error.message}",)
    if images.split != "test":
        return None, ("not measured on test: the dataset has no test split",)
    report = steps.judge_of(file.card).measured(from_bytes(file.data, "the file").logits, images)
    _, notices = look(
        steps.store, images, weights=described(Target(kind="weights", path=weights))[1], target=weights, report=report
    )
    return Accuracy.of(report), notices
