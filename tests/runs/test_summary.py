"""A summary with values of wrong types is refused by key; other keys are kept."""

from typing import Any

import pytest

from resnetctl.errors import InputError
from resnetctl.runs.summary import checked

GOOD: dict[str, Any] = {
    "arch": "resnet20", "epochs": 2, "kept": "best", "best": {"epoch": 1, "val_top1": 0.5}, "last": None, "more": []
}  # fmt: skip


def test_a_summary_is_returned_with_all_its_keys() -> None:
    assert checked(GOOD, where="summary.json") == GOOD


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"epochs": "2"}, "epochs"),
        ({"kept": "evil"}, "kept"),
        ({"best": {"val_top1": "0.5"}}, "best.val_top1"),
        ({"seconds": float("nan")}, "seconds"),
        ({"arch": 5}, "arch"),
        ({"last": []}, "last"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=f"'{key}' must be") as caught:
        checked({**GOOD, **values}, where="summary.json")
    assert caught.value.where == "summary.json"


def test_missing_values_are_all_named_where_the_whole_is_needed() -> None:
    with pytest.raises(InputError, match="it has no 'steps' and no 'stopped_early' and no 'seconds'"):
        checked(GOOD, where="summary.json", whole=True)
    whole = {**GOOD, "steps": 4, "stopped_early": False, "seconds": 1.5}
    assert checked(whole, where="summary.json", whole=True) == whole
