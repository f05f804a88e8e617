"""The outputs of a pass, and their file."""

import numpy as np
import pytest
from support.evidence import make_evidence

from resnetctl.errors import DataError, WorkFailed
from resnetctl.trust.evidence import collect, from_bytes, to_bytes

IMAGES = np.arange(5, dtype=np.uint8)[:, None, None, None]
LABELS = np.array([0, 1, 0, 1, 0])


def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = images[:, 0, 0, 0].astype(np.float32)
    return np.stack([values, 2 - values], axis=1), values[:, None] * 1e5


def test_batches_are_joined_in_order() -> None:
    evidence = collect(predict, [(IMAGES[:2], LABELS[:2]), (IMAGES[2:], LABELS[2:])])
    assert evidence.logits[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert evidence.correct.tolist() == [False, False, True, False, True]
    assert evidence.features is not None
    assert evidence.features.dtype == np.float16
    assert np.isfinite(evidence.features).all(), "a large feature is clipped, not made infinite"


def test_a_stored_pass_has_no_time() -> None:
    report = collect(predict, [(IMAGES, LABELS)]).measured(("a", "b"))
    assert (report.count, report.seconds, report.images_per_second) == (5, 0.0, 0.0)


def test_a_network_without_features_gives_none() -> None:
    assert collect(lambda images: (predict(images)[0], None), [(IMAGES, LABELS)]).features is None


@pytest.mark.parametrize("place", [0, 1])
def test_outputs_that_are_not_finite_are_refused(place: int) -> None:
    def broken(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = predict(images)
        outputs[place][0, 0] = np.nan
        return outputs

    with pytest.raises(WorkFailed, match="not finite"):
        collect(broken, [(IMAGES, LABELS)])


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        collect(predict, [])


def test_a_file_reads_back_equal() -> None:
    evidence = make_evidence(50)
    read = from_bytes(to_bytes(evidence), count=50, classes=4)
    assert read is not None
    for name in ("logits", "labels", "features"):
        assert np.array_equal(getattr(read, name), getattr(evidence, name))


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"", lambda data: b"x" * 100])
def test_a_damaged_file_is_no_pass(damage) -> None:
    assert from_bytes(damage(to_bytes(make_evidence(50))), count=50, classes=4) is None


def test_a_file_of_another_size_is_no_pass() -> None:
    data = to_bytes(make_evidence(50))
    assert from_bytes(data, count=51, classes=4) is None
    assert from_bytes(data, count=50, classes=5) is None


def test_the_metrics_are_those_of_eval() -> None:
    evidence = make_evidence(300)
    report = evidence.measured(("a", "b", "c", "d"))
    assert report.correct == int(evidence.correct.sum())
    assert sum(map(sum, report.confusion)) == report.count == 300
