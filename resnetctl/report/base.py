"""The base of all reports: the result of a verb as data, printed as JSON and shown as a table in a notebook.

A verb returns a report and does not print. The command line draws it as a table, or as one JSON document.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from resnetctl import notebook_tables
from resnetctl.fields import plain
from resnetctl.spec.brief import Brief

MAX_ITEMS = 10  # items of a list shown in a notebook's table
SHARES = (  # shown in percent, as all names with top1 or top5
    "interval", "balanced_accuracy", "majority_baseline",
    "min_primary", "min_accuracy", "min_balanced_accuracy", "min_per_class", "min_lower",
)  # fmt: skip
NAMES = {"top1": "accuracy", "interval": "95 % interval"}


class Report(Brief):
    """Base of the frozen dataclasses that verbs return. Its `repr` is one line; `to_json` has everything.

    A subclass names its `schema`, e.g. `"resnetctl.eval/1"`, and overrides `body` if the JSON document differs
    from its fields.
    """

    schema: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document: the schema first, then the body."""
        return {"schema": self.schema, **self.body()}

    def body(self) -> dict[str, Any]:
        """Return the document without its schema: every field as plain dicts, lists and scalars."""
        values: dict[str, Any] = plain(self)
        return values

    @property
    def caption(self) -> str:
        """The heading of the table in a notebook: the verb, from the schema."""
        return self.schema.removeprefix("resnetctl.").partition("/")[0].replace(".", " ")

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of every entry of the body that is one line: no tables, no lists of tables."""
        yield from lines(self.body())

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return notebook_tables.table(self.rows(), caption=self.caption)


def lines(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of every value that is one line; accuracies in percent, four digits of other fractions."""
    for name, value in values.items():
        text = _line(value, is_share=name in SHARES or "top1" in name or "top5" in name)
        if text and name != "schema":
            yield NAMES.get(name, name.replace("top1", "accuracy").replace("_", " ")), text


def _line(value: Any, *, is_share: bool = False) -> str:
    """Return the value as one line, `""` for None and for nested values."""
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return ""
    if isinstance(value, list):
        items = [_line(item, is_share=is_share) for item in value[:MAX_ITEMS]]
        rest = [f"and {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else []
        return ", ".join([*items, *rest]) if all(items) else ""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}" if is_share else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
