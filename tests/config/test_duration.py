"""Lengths of time are read and written."""

import pytest

from resnetctl.config import duration
from resnetctl.config.duration import Length, rough, seconds, spoken


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", 90),
        ("10min", 600),
        ("2h", 7200),
        ("1h30min", 5400),
        ("1h 30min 5s", 5405),
        ("0.5h", 1800),
        ("1.5min", 90),
        (600, 600),
        (2.5, 2.5),
    ],
)
def test_seconds_reads_times_as_people_type_them(text: str | float, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "10", "10m", "min", "ten minutes", "5s1h", "1h1h", "-5s", "1e3s", "10min!"])
def test_the_error_for_a_wrong_time_shows_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 10min, 2h or 1h30min"):
        seconds(text)


@pytest.mark.parametrize("length", ["0s", "0h0min", "999999h", 0, -3, float("nan"), float("inf")])
def test_a_time_is_above_zero_and_at_most_a_year(length: str | float) -> None:
    with pytest.raises(ValueError, match="more than 0 s and at most a year"):
        seconds(length)


@pytest.mark.parametrize(
    ("length", "text"),
    [(3.14, "3.1 s"), (59.9, "59.9 s"), (98, "1 min 38 s"), (580, "9 min 40 s"), (7500, "2 h 05 min")],
)
def test_spoken_writes_times_as_people_read_them(length: float, text: str) -> None:
    assert spoken(length) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0.42, "0.4 s"),
        (4.4, "4 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (7500, "2 h 05 min"),
        (86_400, "24 h 00 min"),
    ],
)
def test_rough_rounds_estimates(length: float, text: str) -> None:
    assert rough(length) == text


def test_a_training_is_as_long_as_a_number_of_epochs_or_a_time() -> None:
    assert duration.length("5epochs") == Length(epochs=5)
    assert duration.length("1 epoch") == Length(epochs=1)
    assert duration.length("10min") == Length(seconds=600.0)
    for text in ("", "5", "epochs", "-1epochs", "1.5epochs"):
        with pytest.raises(ValueError, match="epochs such as 5epochs, or a time such as 10min"):
            duration.length(text)
    with pytest.raises(ValueError, match="one epoch or more"):
        duration.length("0epochs")
