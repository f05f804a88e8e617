"""The base of all cards: frozen data classes with a JSON form. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self, cast

from resnetctl import fields, notebook_tables
from resnetctl.spec.brief import Brief

LONGEST = 200  # characters of a value in a table


class Card(Brief):
    """Base class of the frozen data classes that have a JSON form, which reads back equal. Its `repr` is one line."""

    def to_json(self) -> dict[str, Any]:
        """Return the card as plain dicts, lists and scalars."""
        return cast("dict[str, Any]", fields.plain(self))

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: each field that fits into a line, nested ones by dotted name."""
        return notebook_tables.table(_lines(self), caption=type(self).__name__)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the card of a JSON form.

        Raises `TypeError` for wrong or missing keys, and `ValueError` for bad values; the message names the key.
        """
        fields.check(cls, values)
        return cls(**{name: fields.frozen(value) for name, value in values.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the JSON form, because read-only mappings can be neither copied nor pickled."""
        return type(self).from_json, (self.to_json(),)

    def _put(self, **values: object) -> None:
        """Set fields during construction: the class is frozen."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _freeze(self, *, tuples: tuple[str, ...] = (), tables: tuple[str, ...] = ()) -> None:
        """Make fields tuples, or read-only copies of mappings. Raises `TypeError` for values of other types."""
        self._put(**{name: tuple(getattr(self, name)) for name in tuples})
        self._put(**{name: MappingProxyType(dict(getattr(self, name))) for name in tables})


def _lines(card: Card) -> Iterator[tuple[str, str]]:
    """Yield name and text of each scalar and each list of scalars; a long text ends with dots."""
    waiting = list(card.to_json().items())
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting[:0] = [(f"{name}.{key}", item) for key, item in value.items()]
            continue
        items = value if isinstance(value, list) else [value]
        if value not in (None, "", []) and not any(isinstance(item, list | dict) for item in items):
            text = ", ".join(str(item) for item in items)
            yield name, text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def without(values: dict[str, Any], key: str, *, default: Any) -> dict[str, Any]:
    """Return the values without a key that has its default: cards of classifiers stay as they were."""
    return {name: value for name, value in values.items() if name != key or value != default}
