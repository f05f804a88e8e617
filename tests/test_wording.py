import pytest

from resnetctl.wording import counted


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "epoch", "1 epoch"),
        (0, "epoch", "0 epochs"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (60_000, "image", "60,000 images"),
    ],
)
def test_a_noun_follows_its_count(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
