"""Values from JSON must suit the fields of a data class; the error names the key."""

from dataclasses import dataclass
from typing import Any

import pytest

from resnetctl.fields import check
from resnetctl.spec import Arch, DatasetCard, ImageSpec, WeightsCard

IMAGE: dict[str, Any] = {"size": 8, "mean": [0.5, 0.5, 0.5]}
CARD: dict[str, Any] = {"name": "x", "classes": ["a", "b"], "image": IMAGE, "splits": {"train": 3}}


@dataclass
class Choice:
    number: int | float | str | None = None
    table: dict[str, float] | None = None


def test_the_json_form_of_a_card_is_accepted() -> None:
    card = DatasetCard.from_json(CARD)
    check(DatasetCard, card.to_json())
    assert DatasetCard.from_json(card.to_json()) == card


@pytest.mark.parametrize("number", [1, 1.5, "one", None])
def test_a_union_accepts_each_of_its_types(number: object) -> None:
    check(Choice, {"number": number, "table": None})
    with pytest.raises(ValueError, match="'number' must be an integer or a number or text, not a list"):
        check(Choice, {"number": [number]})


WRONG = {
    "float size": ({"image": {**IMAGE, "size": 8.0}}, "'image.size' must be an integer, not 8.0"),
    "bool size": ({"image": {**IMAGE, "size": True}}, "'image.size' must be an integer, not True"),
    "huge size": ({"image": {**IMAGE, "size": 10**5000}}, "'image.size' must be an integer, not a number of this"),
    "evil filter": ({"image": {**IMAGE, "interpolation": "evil"}}, "'image.interpolation' must be nearest or bilinear"),
    "NaN mean": (
        {"image": {**IMAGE, "mean": [0.5, float("nan"), 0.5]}},
        r"'image.mean\[1\]' must be a number, not nan",
    ),
    "infinite mean": ({"image": {**IMAGE, "mean": [1e308, 0, 0]}}, r"'image.mean\[0\]' must be a number"),
    "no image": ({"image": None}, "'image' must be a table, not None"),
    "text classes": ({"classes": "ab"}, "'classes' must be a list, not 'ab'"),
    "numbered classes": ({"classes": [1]}, r"'classes\[0\]' must be text, not 1"),
    "text count": ({"splits": {"train": "3"}}, "'splits.train' must be an integer, not '3'"),
    "nested default": ({"defaults": {"epochs": [1]}}, "'defaults.epochs' must be true or false or an integer"),
    "unknown keys": ({f"key {n}": n for n in range(100_000)}, "'key 0' is an unknown key and 99,999 more"),
    "long text": ({"licence": "x" * 10**6}, "'licence' must be text, not 'xxx"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named(name: str) -> None:
    values, message = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        DatasetCard.from_json({**CARD, **values})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("kind", [Arch, ImageSpec, DatasetCard, WeightsCard])
def test_a_missing_key_is_named(kind: type) -> None:
    with pytest.raises(TypeError, match="is missing"):
        check(kind, {})
    with pytest.raises(TypeError, match="must be a table"):
        check(kind, [], at="card.")  # type: ignore[arg-type]
