"""Class weights: rules, numbers and files become numbers; what cannot is an error that names the setting."""

import json
from pathlib import Path

import pytest

from resnetctl.config.class_weights import settled, values
from resnetctl.errors import ConfigError
from resnetctl.hints import Setting

CLASSES = ("cat", "dog.v2", "eel")


def test_rules_and_numbers_stay_and_a_file_becomes_its_numbers_in_class_order(machine: Path) -> None:
    (machine / "w.json").write_text(json.dumps({"eel": 0.5, "cat": 2, "dog.v2": 1}))
    assert settled("none", CLASSES) == "none"
    assert settled("balanced", CLASSES) == "balanced"
    assert settled("1, 2.5,0", CLASSES) == "1.0,2.5,0.0"
    assert settled("w.json", CLASSES) == "2.0,1.0,0.5"
    assert settled(settled("w.json", CLASSES), CLASSES) == "2.0,1.0,0.5"


def test_balanced_is_the_formula_of_scikit_learn() -> None:
    weights = values("balanced", [6, 3, 1])
    assert weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert sum(weight * count for weight, count in zip(weights, [6, 3, 1], strict=True)) == pytest.approx(10)
    assert values("balanced", [4, 0, 4]) == (1.0, 0.0, 1.0)
    assert values("none", [6, 3, 1]) == ()
    assert values("2.0,1.0,0.5", [6, 3, 1]) == (2.0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2", "2 numbers for 3 classes"),
        ("1,-2,3", "must be a number >= 0"),
        ("0,0,0", "must be a number >= 0"),
        ("nan,1,1", "must be a number >= 0"),
        ("inf,1,1", "must be a number >= 0"),
        ("balance", "neither none, balanced, numbers"),
        (".", "neither none, balanced, numbers"),
    ],
)
def test_wrong_texts_are_refused(text: str, message: str, machine: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        settled(text, CLASSES)
    assert caught.value.where == Setting("class_weights")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2, 3]",
        "[" * 100_000,
        '{"cat": 1, "dog.v2": 1}',
        '{"cat": 1, "dog.v2": 1, "eel": 1, "emu": 1}',
        '{"cat": true, "dog.v2": 1, "eel": 1}',
        '{"cat": 1' + "0" * 400 + ', "dog.v2": 1, "eel": 1}',
        '{"cat": 1' + "0" * 5000 + ', "dog.v2": 1, "eel": 1}',
        '{"cat": NaN, "dog.v2": 1, "eel": 1}',
    ],
)
def test_wrong_files_are_refused(content: str, machine: Path) -> None:
    (machine / "w.json").write_text(content)
    with pytest.raises(ConfigError):
        settled("w.json", CLASSES)
