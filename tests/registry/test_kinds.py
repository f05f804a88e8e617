"""A new kind is one new row in the table of kinds."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resnetctl import registry
from resnetctl.errors import PluginError, UsageError
from resnetctl.hints import Call
from resnetctl.registry import KINDS, resolve
from resnetctl.tasks.plugins.listing import describe, listing
from resnetctl.tasks.plugins.new import create
from resnetctl.testing import kit

Install = Callable[..., None]
ROW = """
from pathlib import Path

from resnetctl.hints import Call
from resnetctl.registry.kinds import KINDS, NAME, Row, Scaffold
from resnetctl.testing.findings import Rule, expect


def is_even(value):
    expect(value % 2 == 0, f"it is {value}")
    return "even"


RULES = {"even": Rule(wants="an even number", judge=is_even, fix="add one")}


def details(value):
    return {"half": value // 2}


KINDS["number"] = Row(
    name="number",
    plural="numbers",
    check=lambda value: "" if isinstance(value, int) else "must be an int",
    rules=("made_up_kind:RULES",),
    scaffold=Scaffold(
        template=str(Path(__file__).with_name("number.txt")),
        summary="A number.",
        use=Call("train", settings={"seed": NAME}),
    ),
    details="made_up_kind:details",
    has_name=False,
    torch_free=True,
)
"""


@pytest.fixture
def number_kind(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add a kind by one row. Child processes add it when they start."""
    site = tmp_path / "site"
    (site / "made_up_kind.py").write_text(ROW)
    (site / "number.txt").write_text("$object = 8\n")
    (site / "sitecustomize.py").write_text("import made_up_kind\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    before = dict(KINDS)
    importlib.invalidate_caches()
    importlib.import_module("made_up_kind")
    yield
    KINDS.clear()
    KINDS.update(before)
    del sys.modules["made_up_kind"]


@pytest.mark.usefixtures("number_kind")
def test_a_kind_added_by_one_row_is_listed_shown_scaffolded_and_checked(install: Install, tmp_path: Path) -> None:
    install("my-numbers", {"four": "plug_four:value"}, kind="number", code="value = 4")
    install("odd-numbers", {"five": "plug_five:value"}, kind="number", code="import torch\nvalue = 5")
    assert [row["name"] for row in listing("number", check=True)] == ["five", "four"]
    assert {row["status"] for row in listing() if row["kind"] == "number"} == {"available"}
    assert describe("four")["half"] == 2
    with pytest.raises(UsageError) as caught:
        registry.get("number", "six")
    assert caught.value.hint[1] == Call("plugins list", settings={"kind": "number"})

    plugin = create("lucky-seven", "number", parent=tmp_path)
    assert (plugin.folder / "lucky_seven" / "numbers.py").read_text() == "lucky_seven = 8\n"
    assert 'lucky_seven = "lucky_seven.numbers:lucky_seven"' in (plugin.folder / "pyproject.toml").read_text()
    assert "resnetctl train --seed lucky_seven" in (plugin.folder / "README.md").read_text()

    findings = list(kit.check_object("number", 3)) + finish(kit.check_entries(kit.select("my-numbers")))
    findings += finish(kit.check_entries(kit.select("odd-numbers")))
    failed = [(finding.subject, finding.rule) for finding in findings if not finding.ok]
    assert failed == [("number int", "even"), ("number five", "torch_free"), ("number five", "even")]
    passed = [finding.rule for finding in findings if finding.subject == "number four"]
    assert passed == ["import", "silent", "torch", "torch_free", "even"]


@pytest.mark.usefixtures("number_kind")
def test_a_kind_may_have_no_rules_no_template_and_no_details(install: Install, tmp_path: Path) -> None:
    KINDS["number"] = replace(KINDS["number"], rules=(), scaffold=None, details="")
    install("my-numbers", {"four": "plug_four:value"}, kind="number", code="value = 4")
    (entry,) = kit.select("my-numbers")
    assert [*kit.all_rules("number")] == ["import", "silent", "torch", "torch_free"]
    assert kit.judge_entry(entry, "import").ok
    assert describe("four")["object"] == "plug_four:value"
    with pytest.raises(UsageError, match="there is no template for a number"):
        create("lucky-seven", "number", parent=tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_of_a_row_exists(kind: str) -> None:
    row = KINDS[kind]
    assert row.name == kind
    for reference in (*row.rules, row.prepare, row.details):
        assert not reference or resolve(reference)


@pytest.mark.parametrize(
    ("kind", "code", "problem"),
    [
        ("arch", "net = 7", "must be a resnetctl.spec.Arch, not int"),
        ("block", "net = 7", "must be a class"),
        ("block", "class net: pass", "needs a class attribute 'expansion: int'"),
        ("policy", "net = print", "must be a resnetctl.spec.Policy"),
        ("dataset", "class net: card = 1", "lacks fetch, read"),
    ],
)
def test_the_shape_of_every_kind_is_checked(install: Install, kind: str, code: str, problem: str) -> None:
    install("bad-things", {"net": "plug_bad:net"}, kind=kind, code=code)
    with pytest.raises(PluginError, match=problem):
        registry.get(kind, "net")


def finish(work: Iterator[object]) -> list[kit.Finding]:
    """Return the return value of a generator."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
