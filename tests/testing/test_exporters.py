"""A sound exporter breaks no rule; each broken one breaks the rule of its case."""

from typing import Any

import pytest
import torch
from support import exporters as cases

from resnetctl import registry
from resnetctl.testing import check_exporter, exporters
from resnetctl.testing.findings import judge, judge_all


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


class Nameless(cases.Honest):
    summary = "  "


class OtherWords(cases.Honest):
    def write(self, package: Any, folder: Any) -> Any:
        return super().write(package, folder)


class Idle(cases.Honest):
    def write(self, bundle: Any, folder: Any) -> Any:
        return []


class Short(cases.Honest):
    def open(self, folder: Any) -> Any:
        honest = super().open(folder)
        return lambda images: honest(images)[:3]


class Forgets(cases.Honest):
    """Open nothing without its files."""

    def open(self, folder: Any) -> Any:
        return super().open(folder) if (folder / "inside" / "model.onnx").exists() else None


class Grows(cases.Honest):
    """Write one more file every time."""

    count = 0

    def write(self, bundle: Any, folder: Any) -> Any:
        self.count += 1
        extra = [folder / f"{number}.txt" for number in range(self.count)]
        for path in extra:
            path.write_text("x")
        return [*super().write(bundle, folder), *extra]


@pytest.mark.parametrize(
    ("broken", "rule", "seen"),
    [
        (Nameless(), "signature", "name or summary is empty"),
        (OtherWords(), "signature", "write(package, folder)"),
        (Idle(), "files", "it wrote no file"),
        (cases.Linker(), "files", "it wrote a link"),
        (cases.Raiser(), "files", "RuntimeError: disk of my own"),
        (Short(), "agreement", "it predicts (3, 4) for 74 images"),
        (cases.NaNs(), "agreement", "n"),
        (Grows(), "determinism", "written twice, these differ"),
    ],
)
def test_the_finding_says_what_is_wrong(subject: Any, tmp_path: Any, broken: Any, rule: str, seen: str) -> None:
    ready = exporters.Subject(exporter=broken, bundle=subject.bundle, reference=subject.reference, room=tmp_path)
    finding = judge("e", rule, rule=exporters.RULES[rule], target=ready)
    assert finding.status == "failed"
    assert seen in finding.seen


def test_to_open_nothing_without_files_is_to_read_them(subject: Any, tmp_path: Any) -> None:
    found = findings(subject, Forgets(), tmp_path)
    assert (found["reads"].status, found["reads"].seen) == ("ok", "without its files: None")


def test_the_prepared_network_is_the_same_every_time_and_draws_nothing(subject: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with exporters.prepared(cases.Honest()) as ready:
        assert ready.bundle.weights.read_bytes() == subject.bundle.weights.read_bytes()
        assert ready.bundle.onnx == subject.bundle.onnx
        assert ready.bundle.card.classes == exporters.CLASSES
    assert not ready.room.exists()
    assert torch.equal(torch.rand(2), expected)
