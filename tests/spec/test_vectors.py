"""The numbers of images have names, and a mean and a spread for each."""

from typing import Any

import pytest

from resnetctl.spec import VectorSpec

GOOD: dict[str, Any] = {"columns": ["a", "b"], "mean": [1, 2], "std": [4, 0]}


def test_a_column_without_spread_has_no_scale() -> None:
    vector = VectorSpec.from_json(GOOD)
    assert vector.scale == (0.25, 0.0)
    assert vector.constant == ["b"]
    assert vector.to_json() == {"columns": ["a", "b"], "mean": [1.0, 2.0], "std": [4.0, 0.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ["a", "a"]}, "2 columns are not 1 to"),
        ({"columns": [], "mean": [], "std": []}, "0 columns are not 1 to"),
        ({"mean": [1]}, "one value for each of 2 columns"),
        ({"std": [1, -1]}, "std must be 0 or more"),
        ({"mean": [1, float("nan")]}, r"mean\[1\]"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorSpec.from_json(GOOD | change)
