"""The base of all reports: the result of a verb as data, printed as JSON and shown as a table in a notebook.

A verb returns a report and does not print. The command line draws it as a table, or as one JSON document.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from resnetctl.report import html
from resnetctl.spec import plain

MAX_ITEMS = 10  # items of a list shown in a notebook's table


class Report:
    """Base of the frozen dataclasses that verbs return.

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

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of every entry of the body that is one line: no tables, no lists of tables."""
        for name, value in self.body().items():
            text = _line(value)
            if text:
                yield name.replace("_", " "), text

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return html.table(self.rows(), caption=self.schema)


def _line(value: Any) -> str:
    """Return the value as one line, `""` for None and for nested values."""
    if isinstance(value, list):
        items = [_line(item) for item in value[:MAX_ITEMS]]
        rest = [f"and {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else []
        return ", ".join([*items, *rest]) if all(items) else ""
    if value is None or isinstance(value, dict):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
