"""The six sentences say what the numbers say."""

import copy

import pytest
from support.report_documents import make_document

from resnetctl.report.verdict import percent, short_name, verdict


def said(place: int, **changes: object) -> str:
    return verdict(make_document(against=False, **changes))[place].replace("\u00a0", " ")


def test_there_are_always_six_sentences() -> None:
    for document in (make_document(), make_document(against=False), make_document(val=False, looks=None)):
        sentences = verdict(document)
        assert len(sentences) == 6
        assert all(sentence.endswith(".") for sentence in sentences)


def test_the_first_has_the_accuracy_and_its_interval() -> None:
    assert said(0).startswith("one/<i>.weights is right on ")
    assert " of 600 test images of 'zoo'; the 95 % interval is " in said(0)


def test_a_network_without_mistakes_has_no_weakest_class() -> None:
    classes = [{"name": name, "count": 5, "correct": 5, "accuracy": 1.0} for name in "ab"]
    found = {"top1": 1.0, "interval": [0.7, 1.0], "per_class": classes, "confusion": [[5, 0], [0, 5]]}
    assert said(1, accuracy=found) == "It is right on every image of every class."


def test_a_class_without_images_is_not_the_weakest() -> None:
    classes = [
        {"name": "none", "count": 0, "correct": 0, "accuracy": None},
        {"name": "low", "count": 4, "correct": 1, "accuracy": 0.25},
    ]
    found = {"top1": 0.25, "interval": [0.1, 0.7], "per_class": classes, "confusion": [[0, 0], [3, 1]]}
    assert said(1, accuracy=found) == (
        "Its weakest class is 'low', right on 25.0 % of 4 images and most often mistaken for 'none'."
    )


def test_calibration_is_judged_by_what_a_perfect_model_shows() -> None:
    found = copy.deepcopy(make_document()["calibration"])
    assert "cannot be told from" in said(2, calibration=found | {"ece": 0.01, "ece_null_95": 0.02})
    assert "too " in said(2, calibration=found | {"ece": 0.2, "ece_null_95": 0.02})
    assert "without a temperature" in verdict(make_document(val=False))[2]


def test_what_val_could_not_choose_is_said() -> None:
    document = make_document(val=False)
    assert "no val split of 100 images" in verdict(document)[3]
    assert "for the same reason" in verdict(document)[4]
    assert said(4, abstain=[{"target": 0.9, "threshold": None, "accuracy": None}]).startswith("No threshold")


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        (None, "take no final number"),
        ({"models": 1, "interval": [0, 1]}, "first network"),
        ({"models": 7, "interval": [0.5, 0.6]}, "judged 7 networks; an interval that holds for all of them is 50.0 %"),
    ],
)
def test_without_a_comparison_the_last_is_about_looks(looks: object, text: str) -> None:
    assert text in said(5, looks=looks)


@pytest.mark.parametrize("verdict_word", ["better", "worse", "not distinguishable"])
def test_a_comparison_uses_the_word_of_its_interval(verdict_word: str) -> None:
    document = make_document()
    document["comparison"] |= {"verdict": verdict_word}
    assert f"It is {verdict_word} " in verdict(document)[5]


def test_names_and_shares_are_short() -> None:
    assert short_name("/a/b/c.onnx") == "b/c.onnx"
    assert percent(0.12345, 2) == "12.35\u00a0%" or percent(0.12345, 2) == "12.34\u00a0%"


@pytest.mark.parametrize(("confidence", "word"), [(0.99, "too sure of itself"), (0.01, "too careful")])
def test_a_gap_has_its_side_and_its_points(confidence: float, word: str) -> None:
    document = make_document(against=False)
    count = document["calibration"]["n"]
    bins = [{"count": count, "confidence": confidence}, {"count": 0, "confidence": None}]
    found = document["calibration"] | {"ece": 0.2, "ece_null": 0.011, "ece_null_95": 0.02, "bins": bins}
    points = abs(100 * (confidence - document["accuracy"]["top1"]))
    text = said(2, calibration=found)
    assert f"off by 0.200 on average, where a perfect network would show 0.011; on the whole it is {word}" in text
    assert text.endswith(f"by {points:.1f} points.")


def test_the_highest_proved_target_is_told() -> None:
    entries = [
        {"target": 0.9, "threshold": 0.5, "accuracy": 0.93, "coverage": 0.8},
        {"target": 0.95, "threshold": 0.75, "accuracy": 0.97, "coverage": 0.5},
        {"target": 0.99, "threshold": None, "accuracy": None, "coverage": 0.0},
    ]
    assert said(4, abstain=entries) == (
        "If it answers only from a probability of 0.750 on, it answers 50.0 % of the images and is right on 97.0 % "
        "of these."
    )
    unused = [{"target": 0.9, "threshold": 0.99, "accuracy": None, "coverage": 0.0}]
    assert said(4, abstain=unused) == "No threshold for abstaining is proved to reach 90 %."


def test_one_image_is_not_plural() -> None:
    assert " of 1 test image of 'zoo'" in said(0, count=1)
    assert "10,000 test images" in said(0, count=10_000)
