"""The `repr` of cards, reports and facts is one short line, whatever they hold."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnetctl.engine.loop import EpochResult
from resnetctl.engine.metrics import EvalReport, measure
from resnetctl.facts import EpochTimed, Finished
from resnetctl.report.base import Report
from resnetctl.report.outcomes import TrainReport
from resnetctl.spec import Arch, Card, DatasetCard, ImageSpec
from resnetctl.spec.brief import LONGEST
from resnetctl.tasks.evaluate import EvalOutcome

CLASSES = tuple(f"class {number}" for number in range(40))


@dataclass(frozen=True, kw_only=True)
class Anything(Report):
    schema: ClassVar[str] = "resnetctl.anything/1"
    value: Any
    path: Path = Path()
    share: float = 0.0
    names: tuple[str, ...] = field(default=())


def numbers() -> EvalReport:
    """Return the report of 40 classes, four images each, all right but one."""
    labels = np.arange(160) % 40
    logits = np.eye(40, dtype=np.float32)[np.where(np.arange(160) == 7, 8, labels)]
    return measure(lambda _: logits, [(np.zeros((160, 1, 1, 1), np.uint8), labels)], classes=CLASSES)


def test_an_evaluation_shows_its_figures_and_not_its_matrix() -> None:
    report = numbers()
    path = Path("a/long/way/to") / ("run" * 40) / "model.safetensors"
    text = repr(
        EvalOutcome(
            target=path, data="digits", split="test", report=report, images="f" * 64, written=path, notices=("n" * 999,)
        )
    )
    assert text.startswith("EvalOutcome(report=EvalReport(top1=0.9938, top5=")
    assert "count=160, correct=159" in text
    assert "data='digits', split='test'" in text
    assert len(text) < 300
    assert "confusion=<40x40>" in repr(report)
    assert "per_class=<40>" in repr(report)
    assert str(report) == repr(report)
    assert len(report.to_json()["confusion"]) == 40


def test_a_float_is_shown_as_a_float() -> None:
    shown = repr(Anything(value={"scale": 1.0, "groups": 1, "rate": 0.25, "big": 1e-9}, path=Path("x"), names=CLASSES))
    assert "{'scale': 1.0, 'groups': 1, 'rate': 0.25, 'big': 1e-09}" in shown


def test_no_value_makes_a_line_long() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = {"inner": deep, "text": "x" * 99}
    many = {f"key {number}": number for number in range(999)}
    for value in ("x" * 9999, b"x" * 9999, [["x" * 99] * 99] * 99, deep, many, [numbers()] * 9, set(range(999))):
        text = repr(Anything(value=value, path=Path("x" * 999), names=CLASSES))
        assert len(text) <= LONGEST + 60
        assert "\n" not in text
    assert repr(Anything(value=np.zeros((9, 3)))) == "Anything(value=<9x3>)"


def test_short_values_are_whole_and_defaults_are_left_out() -> None:
    assert repr(Anything(value=(1, 2.5, "a"))) == "Anything(value=(1, 2.5, 'a'))"
    assert repr(Anything(value=(1,), share=0.123456)) == "Anything(share=0.1235, value=(1,))"
    assert repr(Anything(value=None, path=Path("a/b"), names=("c",))) == "Anything(names=('c',), path='a/b')"
    assert repr(Anything(value=Anything(value=3))) == "Anything(value=Anything(value=3))"


def test_cards_runs_and_facts_are_brief_too() -> None:
    card = DatasetCard(
        name="many",
        classes=CLASSES,
        image=ImageSpec(size=8),
        splits={"train": 9},
        digests={"train": "f" * 64},
        source="https://example.org/" + "x" * 500,
    )
    assert repr(card).startswith("DatasetCard(name='many', image=ImageSpec(size=8, ")
    arch = Arch(name="tiny", block="basic", depths=(1, 1), widths=(8, 16))
    assert repr(arch) == "Arch(name='tiny', block='basic', depths=(1, 1), widths=(8, 16))"
    summary = {"epochs": 3, "kept": "best", "best": {"val_top1": 0.9}, "classes": list(CLASSES) * 99}
    assert "'epochs': 3" in repr(TrainReport(path=None, summary=summary))
    assert "'epochs': 3" in repr(Finished(run=Path("runs/a"), summary=summary))
    assert repr(Finished(run=Path("runs/a"), summary=summary)).startswith("Finished(summary={'val_top1': 0.9, ")
    for shown in (card, TrainReport(path=None, summary=summary), Finished(run=Path("runs/a"), summary=summary)):
        assert len(repr(shown)) < 300


def test_an_epoch_shows_its_figures() -> None:
    epoch = EpochResult(
        epoch=12,
        step=252,
        first_lr=0.0123456,
        lr=0.000123456,
        train_loss=0.456789,
        train_top1=0.9123456,
        train_images=1293,
        val=numbers(),
        is_best=True,
    )
    text = repr(EpochTimed(result=epoch, seconds=1.2345, images_per_second=1047.5))
    assert text.startswith("EpochTimed(result=EpochResult(epoch=12, train_loss=0.4568, val=EvalReport(top1=0.9938, ")
    assert "seconds=1.234" in text


def test_a_repr_of_its_own_is_kept() -> None:
    class Own(Card):
        def __repr__(self) -> str:
            return "own"

    assert repr(Own()) == "own"
