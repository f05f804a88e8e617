"""Values of a file that lies are one error that names the key."""

from dataclasses import dataclass
from typing import Any

import pytest

from resnetctl.fields import check, read_json
from resnetctl.spec import Arch, DatasetCard, ImageSpec, WeightsCard

IMAGE: dict[str, Any] = {"size": 8, "mean": [0.5, 0.5, 0.5]}
CARD: dict[str, Any] = {"name": "x", "classes": ["a", "b"], "image": IMAGE, "splits": {"train": 3}}
GREY: dict[str, Any] = {"size": 8, "channels": 1, "mean": [0.5], "std": [0.5]}
ARCH: dict[str, Any] = {"name": "tiny", "block": "basic", "depths": [1], "widths": [8]}
WEIGHTS: dict[str, Any] = {"arch": ARCH, "classes": ["cat"], "image": GREY}


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


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", "a number is too long"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ("[]", "not a table"),
        ("nonsense", "Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_a_text_that_is_no_plain_table_is_refused(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        read_json(text)


def test_a_plain_table_is_read() -> None:
    assert read_json(b'{"a": [1, 2.5, null, true]}') == {"a": [1, 2.5, None, True]}


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("image.size", 8.0, "'image.size' must be an integer, not 8.0"),
        ("image.size", True, "'image.size' must be an integer, not True"),
        ("image.size", 10**4000, "'image.size' must be an integer"),
        ("image.size", 10**6, "the limits are"),
        ("image.channels", 10**9, "the limits are"),
        ("image.interpolation", "evil", "'image.interpolation' must be nearest or "),
        ("image.interpolation", [], "'image.interpolation' must be nearest or "),
        ("image.fit", None, "'image.fit' must be crop or"),
        ("image.mean", [float("nan")], r"'image.mean\[0\]' must be a number, not nan"),
        ("image.mean", "0.5", "'image.mean' must be a list"),
        ("image", 5, "'image' must be a table"),
        ("arch.block", None, "'arch.block' must be text, not None"),
        ("arch.depths", [1.0], r"'arch.depths\[0\]' must be an integer"),
        ("arch.depths", [10**9], "largest depth"),
        ("arch.widths", [10**9], "largest depth and width"),
        ("arch.block_args", {"width": [1]}, "'arch.block_args.width' must be"),
        ("metrics", "good", "'metrics' must be a table, not 'good'"),
        ("metrics", {"val": "good"}, "'metrics.val' must be a number, not 'good'"),
        ("classes", [1], r"'classes\[0\]' must be text"),
        ("classes", [], "'classes' is empty"),
        ("plugins", {"required": {"a": 1}}, "'plugins.required.a' must be text"),
        ("split", {"seed": 1}, "'split.val_fraction' is missing"),
        ("surprise", 1, "'surprise' is an unknown key"),
    ],
)
def test_a_wrong_value_in_a_weights_card_is_named(path: str, value: Any, match: str) -> None:
    card = {**WEIGHTS, "image": dict(GREY), "arch": dict(ARCH)}
    *outer, key = path.split(".")
    (card[outer[0]] if outer else card)[key] = value
    with pytest.raises((TypeError, ValueError), match=match):
        WeightsCard.from_json(card)


def test_a_card_keeps_its_optional_values() -> None:
    card = WeightsCard.from_json({**WEIGHTS, "split": None, "metrics": {"epoch": 3, "val_top1": 0.5}})
    assert (card.split, card.metrics["epoch"], card.arch.block_args) == (None, 3, {})
