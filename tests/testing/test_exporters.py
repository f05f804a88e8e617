"""A sound exporter breaks no rule; each broken one breaks the rule of its case."""

from typing import Any

import pytest
from support import exporters as cases

from resnetctl import registry
from resnetctl.testing import check_exporter, exporters
from resnetctl.testing.findings import judge_all


@pytest.fixture(scope="module")
def subject() -> Any:
    with exporters.prepared(cases.Honest()) as ready:
        yield ready


def findings(subject: Any, exporter: Any, tmp_path: Any) -> dict[str, Any]:
    ready = exporters.Subject(exporter=exporter, bundle=subject.bundle, reference=subject.reference, room=tmp_path)
    return {one.rule: one for one in judge_all("e", exporters.RULES, target=ready)}


def test_triton_and_its_like_break_no_rule(subject: Any, tmp_path: Any) -> None:
    for number, exporter in enumerate((cases.Honest(), registry.get("exporter", "triton"))):
        (tmp_path / str(number)).mkdir()
        found = findings(subject, exporter, tmp_path / str(number))
        assert [one.status for one in found.values()] == ["ok"] * len(exporters.RULES), found


@pytest.mark.parametrize(
    ("broken", "rule", "seen"),
    [
        (cases.WrongLogits(), "agreement", "difference"),
        (cases.Doubles(), "agreement", "it predicts float64"),
        (cases.FromMemory(), "reads", "it opens a folder without its files"),
        (cases.Hider(), "files", "it lists 1 file and wrote 2"),
        (cases.Clock(), "determinism", "written twice, these differ: time"),
        (cases.Honest, "signature", "it is a class"),
    ],
)
def test_a_broken_exporter_breaks_its_rule(subject: Any, tmp_path: Any, broken: Any, rule: str, seen: str) -> None:
    finding = findings(subject, broken, tmp_path)[rule]
    assert finding.status == "failed"
    assert seen in finding.seen


def test_an_exporter_that_opens_nothing_is_not_judged_on_predictions(subject: Any, tmp_path: Any) -> None:
    found = findings(subject, cases.Blind(), tmp_path)
    assert {name for name, one in found.items() if one.status == "skipped"} == {"agreement", "reads"}


def test_an_object_can_be_checked() -> None:
    assert all(one.ok for one in check_exporter(cases.Honest()))
