"""The advice of `bench` follows from its figures; the document has every figure."""

import json

import pytest
from support.reports import PARTS, about, report, tried

from resnetctl.engine.stopwatch import Spread
from resnetctl.hints import in_shell
from resnetctl.tasks.bench.report import is_faster, times

NOTHING = "nothing that was tried is faster than this"


def test_the_advice_says_that_nothing_is_faster() -> None:
    assert report().advice() == [NOTHING]


def test_a_clearly_faster_setting_is_advised_with_its_spread() -> None:
    bench = report(tried=(tried(about(1.2, low=1.1, high=1.3)),))
    assert bench.advice() == ["with 2 threads trains 1.20x (1.10-1.30, n=7) as fast: threads=2"]


def test_the_fastest_comes_first() -> None:
    slower, faster = (tried(about(ratio), what=what) for ratio, what in ((1.2, "with a"), (1.9, "with b")))
    assert [text.partition(" trains")[0] for text in report(tried=(slower, faster)).advice()] == ["with b", "with a"]


@pytest.mark.parametrize(
    ("ratio", "is_advised"),
    [
        (Spread(median=1.2, low=1.1, high=1.3, n=7), True),
        (Spread(median=1.2, low=0.99, high=1.5, n=7), False),  # could be noise
        (Spread(median=1.04, low=1.03, high=1.05, n=7), False),  # too little
        (Spread(median=0.5, low=0.4, high=0.6, n=7), False),
    ],
)
def test_advice_needs_a_gain_that_is_large_and_sure(ratio: Spread, is_advised: bool) -> None:
    assert is_faster(ratio) is is_advised
    assert (report(tried=(tried(ratio),)).advice() != [NOTHING]) is is_advised


def test_a_slow_input_gets_advice_that_names_its_largest_part() -> None:
    (text,) = report(parts=PARTS | {"augment": 0.2, "forward": 0.11}).advice()
    assert text == "the input takes 22 % of a step, most of it augment: a lighter augmentation is faster"
    assert report(parts={}).advice() == [NOTHING]


def test_onnx_is_advised_for_the_batch_where_it_was_faster() -> None:
    advice = report(onnx_ratio={"batch 128": about(1.02), "batch 1": about(5.0, low=4.0, high=6.0)}).advice()
    assert advice == [
        "onnxruntime predicts 5.00x (4.00-6.00, n=7) as fast as torch, batch 1: rc.export()"
    ]  # fmt: skip


@pytest.mark.parametrize(("foreign", "warns"), [(None, False), (0.0, False), (0.1, False), (1.3, True)])
def test_a_busy_machine_gets_a_warning(foreign: float | None, warns: bool) -> None:
    text = "\n".join(report(foreign=foreign).advice())
    assert ("other processes used 1.3 of 2 cores meanwhile" in text) is warns


def test_the_document_has_every_figure() -> None:
    document = json.loads(json.dumps(report().to_json()))
    assert document["schema"] == "resnetctl.bench/1"
    assert set(document) == {
        "schema", "subject", "machine", "training", "prediction", "onnx_ratio", "tried", "start_up", "memory",
        "left_out", "seconds", "advice",
    }  # fmt: skip
    assert document["training"]["images_per_second"] == {"median": 1000.0, "low": 900.0, "high": 1100.0, "n": 7}
    assert list(document["training"]["parts"]) == list(PARTS)
    assert document["advice"] == [NOTHING]


def test_a_ratio_prints_with_its_quartiles_and_n() -> None:
    assert times(about(2.0, low=1.5, high=2.25, n=3)) == "2.00x (1.50-2.25, n=3)"


def test_hints_are_written_for_their_reader() -> None:
    bench = report(tried=(tried(about(1.5)),), onnx_ratio={"batch 1": about(2.0)})
    shell, python = bench.advice(in_shell), bench.advice()
    assert shell[0].endswith("--threads 2")
    assert python[0].endswith("threads=2")
    assert shell[1].endswith("resnetctl export --onnx")
    assert bench.to_json()["advice"] == shell
    assert bench.to_json()["tried"][0]["option"] == "--threads 2"


@pytest.mark.parametrize(("share", "is_advised"), [(0.0999, False), (0.1001, True)])
def test_the_input_is_mentioned_from_a_tenth_of_the_step_on(share: float, is_advised: bool) -> None:
    parts = PARTS | {"gather": share, "augment": 0.0, "normalise": 0.0}
    assert (report(parts=parts).advice() != [NOTHING]) is is_advised


def test_a_warning_comes_after_the_advice() -> None:
    advice = report(foreign=0.5, tried=(tried(about(1.5, low=1.4)),)).advice()
    assert len(advice) == 2
    assert advice[1].startswith("other processes used 0.5 of 2 cores")


@pytest.mark.parametrize(("median", "low", "is_sure"), [(1.05, 1.01, True), (1.0499, 1.01, False), (1.5, 1.0, False)])
def test_the_limits_of_a_gain(median: float, low: float, is_sure: bool) -> None:
    assert is_faster(Spread(median=median, low=low, high=9, n=3)) is is_sure
