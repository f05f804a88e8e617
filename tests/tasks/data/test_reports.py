"""The reports are plain JSON that begins with the schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnetctl.data.checks import Finding
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.tasks.data.reports import (
    AddReport,
    CheckReport,
    GetReport,
    Listed,
    ListReport,
    RemoveReport,
    ShowReport,
)

CARD = DatasetCard(name="x", classes=("a", "b"), image=ImageSpec(size=8), splits={"train": 3})
ERROR = Finding(severity="error", code="one-class", message="there is only one class", count=1, names=("a",))
WARNING = Finding(severity="warning", code="few-images", message="classes", count=1, names=("a: 3",))
REPORTS: dict[str, Any] = {
    "list": ListReport(data_dir=Path("d"), datasets=(Listed(name="x", distribution=None, card=CARD),)),
    "add": AddReport(name="x", path=Path("d/x"), card=CARD),
    "get": GetReport(name="x", path=Path("d/x"), card=CARD, done=False),
    "remove": RemoveReport(name="x", path=Path("d/x"), card=None),
    "show": ShowReport(name="x", path=Path("d/x"), card=CARD, counts={"a": {"train": 3}}, sheet=Path("s.png")),
    "check": CheckReport(target="x", images=3, findings=(ERROR, WARNING)),
}


@pytest.mark.parametrize("verb", REPORTS)
def test_every_report_is_plain_json_and_begins_with_its_schema(verb: str) -> None:
    document = REPORTS[verb].to_json()
    assert next(iter(document.items())) == ("schema", f"resnetctl.data.{verb}/1")
    assert json.loads(json.dumps(document)) is not None


def test_a_card_reads_back_equal_from_a_report() -> None:
    assert DatasetCard.from_json(json.loads(json.dumps(REPORTS["show"].to_json()))["card"]) == CARD


def test_the_list_report_shows_which_datasets_are_stored() -> None:
    absent = Listed(name="y", distribution="resnetctl", card=None, problem="")
    rows = ListReport(data_dir=Path("d"), datasets=(*REPORTS["list"].datasets, absent)).to_json()["datasets"]
    assert [(row["name"], row["in_store"], row["distribution"]) for row in rows] == [
        ("x", True, None), ("y", False, "resnetctl")
    ]  # fmt: skip
    assert rows[1]["card"] is rows[1]["problem"] is None


@pytest.mark.parametrize(("findings", "failed"), [((), False), ((WARNING,), False), ((WARNING, ERROR), True)])
def test_only_errors_fail_a_check(findings: tuple[Finding, ...], failed: bool) -> None:
    report = CheckReport(target="x", images=3, findings=findings)
    assert report.failed is failed
    assert report.to_json()["failed"] is failed
    assert [finding["code"] for finding in report.to_json()["findings"]] == [finding.code for finding in findings]
