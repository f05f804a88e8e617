"""The JSON documents of the `plugins` verbs."""

from resnetctl.tasks.plugins.reports import CheckReport, ListReport, ShowReport


def test_the_facts_of_an_object_are_the_document_itself() -> None:
    report = ShowReport(facts={"name": "resnet20", "depths": (3, 3, 3)})
    assert report.to_json() == {"schema": "resnetctl.plugins.show/1", "name": "resnet20", "depths": (3, 3, 3)}


def test_rows_and_findings_are_lists() -> None:
    row = {"kind": "arch", "name": "resnet20"}
    assert ListReport(plugins=(row,)).to_json() == {"schema": "resnetctl.plugins.list/1", "plugins": [row]}
    document = CheckReport(entries=1, failed=0, findings=({"rule": "shapes", "ok": True},)).to_json()
    assert document["findings"] == [{"rule": "shapes", "ok": True}]
    assert (document["entries"], document["failed"]) == (1, 0)


def test_each_report_has_a_caption_and_a_schema_of_its_own() -> None:
    reports = (ListReport(plugins=()), ShowReport(facts={}), CheckReport(entries=0, failed=0, findings=()))
    assert [report.caption for report in reports] == ["plugins list", "plugins show", "plugins check"]
    assert [next(iter(report.to_json())) for report in reports] == ["schema"] * 3
    assert dict(ShowReport(facts={"summary": "s", "nested": {"a": 1}}).rows()) == {"summary": "s"}
    assert dict(CheckReport(entries=2, failed=1, findings=()).rows())["failed"] == "1"
