"""A calibration holds numbers in their ranges only."""

import dataclasses
from typing import Any

import pytest

from resnetctl.spec import Calibration, Familiar


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": ()}, "base64 texts with one length"),
        ({"means": ("AAAA", "AA==")}, "base64 texts with one length"),
        ({"means": ("A*",)}, "base64 texts with one length"),
        ({"means": ("",)}, "base64 texts with one length"),
        ({"limit": 2.5}, "limit"),
        ({"level": 1.0}, "level"),
    ],
)
def test_what_is_familiar_must_be_numbers_in_their_ranges(changes: dict[str, Any], message: str) -> None:
    good = {"means": ["AAAA", "AQID"], "limit": 0.5, "level": 0.99}
    assert Familiar.from_json(good).width == 3
    with pytest.raises(ValueError, match=message):
        Familiar.from_json(good | changes)


def test_thresholds_are_one_probability_for_each_class() -> None:
    plain = Calibration(temperature=1.0, sets={}, images=9)
    assert "thresholds" not in plain.to_json()
    chosen = dataclasses.replace(plain, thresholds=(0.25, 0.5))
    assert Calibration.from_json(chosen.to_json()) == chosen
    with pytest.raises(ValueError, match="'thresholds' has a number outside"):
        dataclasses.replace(plain, thresholds=(0.25, 1.5))
