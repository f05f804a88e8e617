"""`compress` with a goal: a checked ONNX file that is fast, small and accurate enough, or the best that was reached.

An attempt cuts, trains and exports. One that breaks a limit is taken back: without int8, more must be cut.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from resnetctl.compress import calibration
from resnetctl.compress.cost import multiply_adds, params
from resnetctl.compress.int8 import Limits, quantise
from resnetctl.compress.latency import latencies, speedups
from resnetctl.data.splits import open_eval_set
from resnetctl.deploy.onnx_card import OnnxCard, to_properties
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.deploy.parity import BATCHES, compare_batches, in_batches
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed, DataError
from resnetctl.facts import Notice
from resnetctl.hints import Call
from resnetctl.models.resnet import ResNet
from resnetctl.report.page import pareto_file
from resnetctl.runs import RunDir
from resnetctl.system.signals import stop_later
from resnetctl.tasks.compress.report import Accuracy, CompressReport, CutFacts, StageFacts
from resnetctl.tasks.compress.smaller import CALIBRATE, Limit
from resnetctl.tasks.compress.steps import Steps, cut_name, train_name
from resnetctl.tasks.held_out import look
from resnetctl.tasks.targets import Target, described
from resnetctl.weights.file import Header, load_network, read_header
from resnetctl.wording import counted

MAX_DROP = 1.0  # percent points on val, unless the order says otherwise
INT8 = "int8"


@dataclass(frozen=True, kw_only=True)
class File:
    """An ONNX file of a network, its accuracy on val, and the stage that made it.

    `float_layers` are the layers of an int8 file that went back to float32.
    """

    name: str
    net: ResNet
    data: bytes
    accuracy: Accuracy
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reached:
    """An attempt that keeps all limits: the run of its last stage, and the files of its stages."""

    last: RunDir
    cut: CutFacts
    files: tuple[File, ...]


def reach(steps: Steps) -> Generator[Any, None, CompressReport]:
    """Yield the facts of the training; return the report of the published run.

    Raises:
        CheckFailed: no network keeps all limits. The error names the best of each attempt; the stages stay.
    """
    forms, undone = ((True, False) if steps.order.int8 else (False,)), []
    for attempt, int8 in enumerate(forms):
        try:
            reached = yield from _attempt(steps, attempt, int8=int8)
        except CheckFailed as error:
            problems = "; ".join(error.problems)
            undone.append(f"{INT8 if int8 else 'float32'}: {error.message}{f' ({problems})' if problems else ''}")
            yield Notice(f"taken back: {undone[-1]}")
            continue
        return _published(steps, reached, undone=tuple(undone))
    raise CheckFailed(
        "no network keeps all limits on this machine; no run was published",
        where=str(steps.staged.path),
        problems=undone,
        hint=Call("runs remove", (steps.staged.path,), note="deletes its stages") if steps.staged.has_stages else (),
    )


def _attempt(steps: Steps, attempt: int, *, int8: bool) -> Generator[Any, None, Reached]:
    """Cut, train and export. Raises `CheckFailed` when a limit is broken."""
    order = steps.order
    limit = Limit(target_ms=order.target_ms, size=order.size_bytes, int8=int8)
    cut = yield from steps.cut(attempt, limit=limit)
    last = yield from steps.train(attempt)
    whole, first, trained = (
        _float_file(steps, name, header)
        for name, header in (
            ("whole", steps.header),
            (cut_name(attempt), read_header(steps.staged.stage(cut_name(attempt)).weights)),
            (train_name(attempt), read_header(last.weights)),
        )
    )
    allowed = MAX_DROP if order.max_drop is None else order.max_drop
    drop = 100 * (whole.accuracy.top1 - trained.accuracy.top1)
    if drop > allowed:
        raise CheckFailed(
            f"{trained.name} loses {drop:.2f} points on val, and {allowed:g} are allowed",
            problems=[f"{cut.speedup['1'].median:.2f} times as fast, {trained.accuracy.top1:.2%} on val"],
        )
    last.write_onnx(trained.data)
    files = [whole, first, trained]
    if int8:
        header = read_header(last.weights)
        files.append(_int8_file(steps, header, trained, max_drop=max(0.0, allowed - drop)))
        last.write_onnx(files[-1].data, int8=True)
        _require_speed(steps, cut, files)
    if order.size_bytes and len(files[-1].data) > order.size_bytes:
        raise CheckFailed(f"{files[-1].name} has {len(files[-1].data):,} bytes, and {order.size_bytes:,} are allowed")
    return Reached(last=last, cut=cut, files=tuple(files))


def _require_speed(steps: Steps, cut: CutFacts, files: Sequence[File]) -> None:
    """Raise `CheckFailed` when the layers that went back to float32 made the last file slower than the goal."""
    whole, last, order, needed = files[0], files[-1], steps.order, steps.order.speedup
    if order.target_ms is not None and cut.table is not None:
        needed = cut.table.whole / order.target_ms
    if needed is None or not last.float_layers:
        return
    base, model = (from_bytes(file.data, file.name) for file in (whole, last))
    median = speedups(base, {INT8: model}, images=steps.judge.seen(), sizes=(1,))[INT8][1].median
    if median < needed:
        layers = counted(len(last.float_layers), "layer")
        raise CheckFailed(
            f"with {layers} in float32 it is {median:.2f} times as fast, and {needed:.2f} times are needed"
        )


def _float_file(steps: Steps, name: str, header: Header) -> File:
    """Return the float32 file of a network, compared with torch on images of val. Raises `CheckFailed`."""
    judge, net, card = steps.judge, load_network(header), header.card
    pool = judge.unseen()[: sum(BATCHES)]
    about = {"kind": "real", "source": f"{steps.store.card.name}/val", "images": len(pool)}
    with stop_later():
        data = to_onnx(net, card, weights_sha256=header.sha256, gate=about)
    model = from_bytes(data, "the exported model")
    reference = torch_predictor(net, card.image, device=torch.device("cpu"))
    parity = compare_batches(reference, model.outputs, batches=in_batches(pool), temperature=card.temperature)
    if parity.problems:
        raise CheckFailed("onnxruntime does not agree with torch", where=str(header.path), problems=parity.problems)
    return File(name=name, net=net, data=data, accuracy=Accuracy.of(judge.measured(model.logits)))


def _int8_file(steps: Steps, header: Header, source: File, *, max_drop: float) -> File:
    """Return the int8 file of a float32 one. Raises `CheckFailed` when it is too inaccurate or slower."""
    judge, card = steps.judge, header.card
    images = calibration.choose(judge.train, card.image, count=min(CALIBRATE, len(judge.train)))
    ranges, report = quantise(source.data, images, val=judge.batches(), limits=Limits(max_drop=max_drop))
    about = {"kind": "real", "source": f"{steps.store.card.name}/val", "images": len(judge.unseen()[: sum(BATCHES)])}
    gate = {**about, INT8: {**report.recorded(), "data": steps.store.card.name}}
    properties = to_properties(OnnxCard(weights=card, weights_sha256=header.sha256, gate=gate))
    with stop_later():
        data = ranges.quantised(floats=report.float_layers, metadata=properties)
    accuracy = Accuracy.of(judge.measured(from_bytes(data, "the int8 file").logits))
    return File(name=INT8, net=source.net, data=data, accuracy=accuracy, float_layers=report.float_layers)


def _published(steps: Steps, reached: Reached, *, undone: tuple[str, ...]) -> CompressReport:
    """Measure all stages, open test once, and make the run."""
    run, files = RunDir(steps.staged.path), reached.files
    stages = _facts(steps, files)
    test, notices = _on_test(steps, reached)
    is_int8 = files[-1].name == INT8
    report = CompressReport(
        path=run.weights,
        target=steps.target,
        data=steps.order.data,
        cut=reached.cut,
        run=run.path,
        trained=files[2].accuracy,
        file=run.int8_onnx if is_int8 else run.onnx,
        stages=stages,
        undone=undone,
        test=test,
        notices=notices,
    )
    points = [(stage.name, stage.latency["1"].p50, stage.accuracy.top1, stage.accuracy.interval) for stage in stages]
    steps.staged.publish(reached.last, report.to_json(), plot=pareto_file(points))
    return report


def _facts(steps: Steps, files: tuple[File, ...]) -> tuple[StageFacts, ...]:
    models = {file.name: from_bytes(file.data, file.name) for file in files}
    times = latencies(models, images=steps.judge.seen())
    return tuple(
        StageFacts(
            name=file.name,
            params=params(file.net),
            multiply_adds=multiply_adds(file.net, steps.header.card.image),
            bytes=len(file.data),
            accuracy=file.accuracy,
            latency={str(size): latency for size, latency in times[file.name].items()},
        )
        for file in files
    )


def _on_test(steps: Steps, reached: Reached) -> tuple[Accuracy | None, tuple[str, ...]]:
    """Return the accuracy of the last file on test, and notices. The look is recorded."""
    try:
        images = open_eval_set(steps.store, "test", val_split=None)
    except DataError as error:
        return None, (f"not measured on test: {error.message}",)
    if images.split != "test":
        return None, ("not measured on test: the dataset has no test split",)
    weights = reached.last.weights
    report = steps.judge.measured(from_bytes(reached.files[-1].data, "the file").logits, images)
    _, notices = look(
        steps.store, images, weights=described(Target(kind="weights", path=weights))[1], target=weights, report=report
    )
    return Accuracy.of(report), notices
