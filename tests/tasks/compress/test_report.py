"""The report of `compress`, and the facts of a cut that are stored with it."""

import json
from pathlib import Path

import pytest

from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.stopwatch import Spread
from resnetctl.tasks.compress.report import Accuracy, CompressReport, CutFacts

FACTS = CutFacts(
    before=(3, 3),
    after=(2, 3),
    removed={"layer1.1": 0.1},
    widths={"layer2.0.conv1": (32, 16)},
    table=LatencyTable(whole=1.0, blocks=(0.1, 0.2)),
    speedup={"1": Spread(median=1.2, low=1.1, high=1.3, n=5)},
    params=(100, 80),
    accuracy=(Accuracy(top1=0.9, interval=(0.8, 0.95), count=50), Accuracy(top1=0.5, interval=(0.4, 0.6), count=50)),
)


def test_the_facts_of_a_cut_read_back_equal() -> None:
    stored = json.loads(json.dumps(FACTS.to_json()))
    assert CutFacts.from_json(stored) == FACTS
    with pytest.raises(ValueError, match="top1"):
        CutFacts.from_json(stored | {"accuracy": [{"top1": "high", "interval": [0, 1], "count": 5}] * 2})


def test_the_document_has_the_facts_beside_the_paths() -> None:
    report = CompressReport(path=Path("m.safetensors"), target=Path("t"), data="zoo", cut=FACTS, notices=("careful",))
    document = report.to_json()
    assert document["schema"] == "resnetctl.compress/1"
    assert (document["before"], document["path"], document["run"]) == ([3, 3], "m.safetensors", None)
    assert document["accuracy"][1]["top1"] == 0.5
    assert document["notices"] == ["careful"]
    assert "cut" not in document


def test_its_line_and_its_table_have_what_the_cut_costs_and_gains() -> None:
    trained = Accuracy(top1=0.8, interval=(0.7, 0.9), count=50)
    report = CompressReport(
        path=Path("m.safetensors"), target=Path("t"), data="zoo", cut=FACTS, trained=trained, run=Path("runs/small")
    )
    figures = "params 100 -> 80, accuracy on val 90.0% -> 50.0% -> 80.0%, batch of 1 1.20 times as fast (1.10 to 1.30)"
    assert repr(report) == f"CompressReport({figures}, 'runs/small')"
    assert dict(report.rows())["blocks"] == "3, 3 -> 2, 3"
