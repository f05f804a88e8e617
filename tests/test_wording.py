import pytest

from resnetctl.wording import counted, enumerated, with_article


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


def test_words_are_a_list_in_a_sentence() -> None:
    assert [enumerated(words) for words in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_a_type_has_the_article_that_is_spoken() -> None:
    kinds = ("list", "int", "ndarray", "NoneType", "bytes")
    assert [with_article(kind) for kind in kinds] == ["a list", "an int", "an ndarray", "a NoneType", "bytes"]
