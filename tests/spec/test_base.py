"""Cards of any class: read-only tables, copies and pickles, and keys that are left out at their default."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from resnetctl.spec.base import Card, without


@dataclass(frozen=True, kw_only=True)
class Shelf(Card):
    name: str
    books: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(tables=("books",))


def test_a_card_is_read_only_and_survives_a_copy_and_a_pickle() -> None:
    shelf = Shelf(name="a", books={"one": 1})
    with pytest.raises(TypeError):
        shelf.books["two"] = 2  # type: ignore[index]
    assert copy.deepcopy(shelf) == pickle.loads(pickle.dumps(shelf)) == Shelf.from_json(shelf.to_json()) == shelf


def test_a_key_is_left_out_at_its_default_only() -> None:
    assert without({"a": 0, "b": 0}, "a", default=0) == {"b": 0}
    assert without({"a": 1}, "a", default=0) == {"a": 1}


def test_a_notebook_shows_the_lines_of_a_card_as_a_table() -> None:
    shown = Shelf(name="<b>", books={"one": 1})._repr_html_()
    assert "<caption>Shelf</caption>" in shown
    assert "<tr><th>name</th><td>&lt;b&gt;</td></tr>" in shown
    assert "<tr><th>books.one</th><td>1</td></tr>" in shown
    assert Shelf(name="x" * 999)._repr_html_().count("x") == 200
