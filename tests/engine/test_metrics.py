"""Metrics are compared with scikit-learn, and with results computed by hand."""

import dataclasses
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score

from resnetctl.engine.metrics import GROUP, EvalReport, grouped, measure, probabilities, wilson
from resnetctl.errors import DataError, WorkFailed

NAMES = tuple("abcdefg")


def report_of(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], *, batch: int = 7) -> EvalReport:
    """Return the report of `measure` for fixed logits: each image holds the number of its row."""
    rows = np.arange(len(labels))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), batch):
            part = rows[start : start + batch]
            yield np.broadcast_to(part.astype(np.uint8)[:, None, None, None], (len(part), 2, 2, 1)), labels[part]

    return measure(lambda images: logits[images[:, 0, 0, 0]], batches(), classes=classes)


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(200, 7)).astype(np.float32) * 3, generator.integers(0, 7, 200)


def test_metrics_match_scikit_learn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = sample
    report = report_of(logits, labels, NAMES)
    wide = logits.astype(np.float64)
    shares = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    assert np.array_equal(report.confusion, confusion_matrix(labels, logits.argmax(axis=1), labels=range(7)))
    assert report.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1), abs=1e-15)
    assert report.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5), abs=1e-15)
    assert report.loss == pytest.approx(log_loss(labels, shares), rel=1e-12)
    assert report.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, logits.argmax(axis=1)), abs=1e-15)


@given(batch=st.integers(1, 200))
def test_metrics_do_not_depend_on_the_batch_size(batch: int) -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(200, 7)).astype(np.float32), generator.integers(0, 7, 200)
    one, other = report_of(logits, labels, NAMES), report_of(logits, labels, NAMES, batch=batch)
    assert one.confusion == other.confusion
    assert one.top5 == other.top5
    assert one.loss == pytest.approx(other.loss, rel=1e-12)


def test_counts_add_up(sample: tuple[np.ndarray, np.ndarray]) -> None:
    report = report_of(*sample, NAMES)
    assert report.count == 200 == sum(item.count for item in report.per_class)
    assert report.correct == sum(item.correct for item in report.per_class)
    assert report.top1 == report.correct / 200
    assert [item.name for item in report.per_class] == list(NAMES)
    for item, row in zip(report.per_class, report.confusion, strict=True):
        assert item.count == sum(row)
        assert item.accuracy == item.correct / item.count


def test_confusion_has_true_classes_in_rows_and_predicted_ones_in_columns() -> None:
    report = report_of(np.array([[0.0, 5.0]], dtype=np.float32), np.array([0]), ("cat", "dog"))
    assert report.confusion == ((0, 1), (0, 0))


def test_a_class_without_images_has_no_accuracy() -> None:
    report = report_of(np.array([[1.0, 0.0]], dtype=np.float32), np.array([0]), ("cat", "dog"))
    assert report.per_class[1].accuracy is None
    assert report.per_class[0].accuracy == 1.0
    assert [item.name for item in report.without_images] == ["dog"]


def test_the_figures_of_a_constant_classifier_are_told() -> None:
    logits = np.tile(np.array([0.0, 5.0, 0.0], dtype=np.float32), (10, 1))
    report = report_of(logits, np.array([1] * 9 + [0]), ("ape", "bee", "cow"))
    assert report.top1 == report.baseline == 0.9
    assert report.majority.name == "bee"
    assert report.balanced_accuracy == 0.5
    assert [item.name for item in report.never_predicted] == ["ape"]  # there is no image of a cow
    assert report.derived() == {
        "balanced_accuracy": 0.5,
        "majority_class": "bee",
        "majority_baseline": 0.9,
        "never_predicted": ["ape"],
    }


def test_a_tie_goes_to_the_first_class() -> None:
    logits = np.zeros((3, 3), dtype=np.float32)
    assert report_of(logits, np.array([0, 1, 2]), ("a", "b", "c")).confusion == ((1, 0, 0), (1, 0, 0), (1, 0, 0))


def test_a_tie_counts_the_same_in_top_1_and_top_5() -> None:
    report = report_of(np.zeros((7, 7), dtype=np.float32), np.arange(7), NAMES)
    assert report.correct == 1
    assert report.top5 == 5 / 7


@pytest.mark.parametrize(("classes", "known"), [(("a", "b", "c", "d"), False), (tuple("abcde"), True)])
def test_top_5_needs_five_classes(classes: tuple[str, ...], known: bool) -> None:
    logits = np.eye(len(classes), dtype=np.float32)
    assert (report_of(logits, np.arange(len(classes)), classes).top5 is not None) is known


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[3e38, -3e38], [-1e30, 1e30]], dtype=np.float32)
    report = report_of(logits, np.array([0, 1]), ("a", "b"))
    assert report.loss == 0.0
    assert report_of(logits, np.array([1, 1]), ("a", "b")).loss == pytest.approx(3e38, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_logits_fail(bad: float) -> None:
    logits = np.zeros((3, 2), dtype=np.float32)
    logits[1, 0] = bad
    with pytest.raises(WorkFailed, match="not finite"):
        report_of(logits, np.array([0, 1, 0]), ("a", "b"))


def test_no_images_are_a_data_error() -> None:
    with pytest.raises(DataError, match="no images"):
        measure(lambda images: np.zeros((len(images), 2), dtype=np.float32), iter(()), classes=("a", "b"))


def test_a_report_is_json_with_plain_values(sample: tuple[np.ndarray, np.ndarray]) -> None:
    document = json.loads(json.dumps(report_of(*sample, NAMES).to_json()))
    assert list(document)[:5] == ["top1", "top5", "loss", "count", "correct"]
    assert document["per_class"][0].keys() == {"name", "count", "correct", "accuracy"}
    assert document["images_per_second"] == pytest.approx(document["count"] / document["seconds"])
    assert document["interval"][0] < document["top1"] < document["interval"][1]


def test_wilson_gives_published_intervals() -> None:
    low, high = wilson(8103, 10_000)  # Newcombe 1998, method 3
    assert (low, high) == (pytest.approx(0.80250, abs=1e-5), pytest.approx(0.81787, abs=1e-5))
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))  # his table I


@given(count=st.integers(1, 10**6), data=st.data())
def test_the_wilson_interval_contains_the_share_and_stays_in_0_to_1(count: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, count))
    low, high = wilson(correct, count)
    assert 0.0 <= low <= correct / count + 1e-12
    assert correct / count - 1e-12 <= high <= 1.0


def test_single_images_give_the_same_sums_as_groups() -> None:
    """The sums equal those of batches of `GROUP` images bit for bit."""
    generator = np.random.default_rng(2)
    logits, labels = generator.normal(size=(300, 7)).astype(np.float32), generator.integers(0, 7, 300)
    one, other = report_of(logits, labels, NAMES, batch=1), report_of(logits, labels, NAMES, batch=GROUP)
    assert (one.confusion, one.loss, one.top5, one.count) == (other.confusion, other.loss, other.top5, 300)


@pytest.mark.parametrize("batch", [1, 50, GROUP, GROUP + 1])
def test_groups_are_whole_batches_with_their_tags(batch: int) -> None:
    rows = np.arange(300, dtype=np.int64)
    batches = [(rows[start : start + batch], start) for start in range(0, 300, batch)]
    groups = list(grouped(lambda images: images[:, None].astype(np.float32), batches))
    assert np.concatenate([logits for logits, _ in groups])[:, 0].tolist() == rows.tolist()
    assert [tag for _, tags in groups for tag in tags] == [start for _, start in batches]
    assert all(len(logits) >= GROUP for logits, _ in groups[:-1])
    assert list(grouped(lambda images: images, [])) == []


def test_probabilities_do_not_overflow_and_refuse_nan() -> None:
    shares = probabilities(np.array([[1e30, 0, -1e30], [2, 2, 2]], np.float32))
    assert shares[0].tolist() == [1, 0, 0]
    assert shares[1] == pytest.approx([1 / 3] * 3)
    with pytest.raises(WorkFailed, match="not finite"):
        probabilities(np.array([[np.nan, 0]], np.float32))


def test_an_interval_for_many_models_is_that_of_a_smaller_risk() -> None:
    one, ten = wilson(800, 1000), wilson(800, 1000, models=10)
    assert wilson(800, 1000, models=1) == one
    # z at 1 - 0.05 / 20 is 2.807034
    centre = (0.8 + 2.807034**2 / 2000) / (1 + 2.807034**2 / 1000)
    assert sum(ten) / 2 == pytest.approx(centre, abs=1e-6)
    assert ten[0] < one[0] < one[1] < ten[1]


def test_the_line_of_a_stored_pass_has_no_speed() -> None:
    report = report_of(np.eye(3), np.arange(3), ("a", "b", "c"))
    assert "seconds" in repr(dataclasses.replace(report, seconds=2.5))
    assert "second" not in repr(dataclasses.replace(report, seconds=0.0, images_per_second=0.0))
