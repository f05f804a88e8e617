"""The base of all reports, and rules for every report class of the package."""

import importlib
import json
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import resnetctl
from resnetctl.report.base import MAX_ITEMS, Report, lines


@dataclass(frozen=True, kw_only=True)
class Small(Report):
    schema: ClassVar[str] = "resnetctl.small/1"
    path: Path
    share: float
    classes: tuple[str, ...] = ()
    table: tuple[dict[str, int], ...] = ()
    missing: str | None = None


SMALL = Small(path=Path("a/b"), share=1 / 3, classes=("cat", "<dog>"), table=({"a": 1},))


def reports() -> list[type[Report]]:
    """Return every report class of the package that names a schema."""
    for module in pkgutil.walk_packages(resnetctl.__path__, "resnetctl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(kind: type[Report]) -> list[type[Report]]:
        return [kind, *(inner for child in kind.__subclasses__() for inner in below(child))]

    named = (kind for kind in below(Report) if kind.__module__.startswith("resnetctl."))
    return [kind for kind in named if "schema" in vars(kind)]


def test_a_document_begins_with_its_schema_and_is_plain_json() -> None:
    document = SMALL.to_json()
    assert next(iter(document)) == "schema"
    assert json.loads(json.dumps(document)) == {
        "schema": "resnetctl.small/1",
        "path": "a/b",
        "share": 1 / 3,
        "classes": ["cat", "<dog>"],
        "table": [{"a": 1}],
        "missing": None,
    }


def test_a_notebook_shows_one_line_values_and_escapes_them() -> None:
    assert dict(SMALL.rows()) == {"path": "a/b", "share": "0.3333", "classes": "cat, <dog>"}
    assert "<td>cat, &lt;dog&gt;</td>" in SMALL._repr_html_()
    assert "<caption>small</caption>" in SMALL._repr_html_()


def test_a_matrix_is_no_line() -> None:
    assert list(lines({"confusion": [[1, 2], [3, 4]], "interval": [0.5, 0.7]})) == [("95 % interval", "50.0%, 70.0%")]


def test_numbers_are_formatted_for_people() -> None:
    values = {"top1": 0.98765, "interval": [0.9, 0.95], "min_accuracy": None, "count": 12345, "epochs": 20, "ema": True}
    values |= {"loss": 0.123456, "seconds": 12345.678, "schema": "resnetctl.eval/1", "val_top1": 1.0}
    assert dict(lines(values)) == {
        "accuracy": "98.8%",
        "95 % interval": "90.0%, 95.0%",
        "count": "12,345",
        "epochs": "20",
        "ema": "yes",
        "loss": "0.1235",
        "seconds": "12,346",
        "val accuracy": "100.0%",
    }


def test_a_long_list_is_shortened() -> None:
    many = Small(path=Path(), share=1.0, classes=tuple(map(str, range(MAX_ITEMS + 2))))
    assert dict(many.rows())["classes"].endswith("9, and 2 more")


def test_schema_names_are_well_formed_and_belong_to_one_class_each() -> None:
    schemas = [kind.schema for kind in reports()]
    assert len(schemas) > 15
    assert all(re.fullmatch(r"resnetctl(\.[a-z]+)+/1", schema) for schema in schemas)
    assert sorted(schemas) == sorted(set(schemas))


def test_a_schema_is_written_once_in_the_package() -> None:
    texts = (path.read_text("utf-8") for path in Path(resnetctl.__file__).parent.rglob("*.py"))
    written = [schema for text in texts for schema in re.findall(r"[^`]\"(resnetctl\.[a-z.]+/1)\"", text)]
    assert sorted(written) == sorted(set(written))


def test_every_documented_schema_has_a_class() -> None:
    text = (Path(resnetctl.__file__).parents[1] / "docs" / "reference" / "json.md").read_text("utf-8")
    documented = set(re.findall(r"`(resnetctl\.[a-z.]+/1)`", text)) - {"resnetctl.version/1"}
    assert documented <= {kind.schema for kind in reports()}
