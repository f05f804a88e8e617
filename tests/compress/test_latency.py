"""Speeds are ratios of the same rounds, one for each size of a batch."""

import time

import numpy as np
import pytest

from resnetctl.compress import latency


class Slow:
    """A network that takes some time for each batch and remembers the sizes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sizes: set[int] = set()

    def logits(self, images: np.ndarray) -> np.ndarray:
        self.sizes.add(len(images))
        time.sleep(self.seconds)
        return np.zeros((len(images), 2), np.float32)


def test_a_network_that_needs_a_quarter_of_the_time_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "ROUNDS", 3)
    base, other = Slow(0.04), Slow(0.01)
    images = np.zeros((3, 2, 2, 1), np.uint8)
    result = latency.speedups(base, {"quick": other}, images=images, sizes=(1, 5))  # type: ignore[arg-type,dict-item]
    assert base.sizes == other.sizes == {1, 5}
    assert list(result["quick"]) == [1, 5]
    assert all(spread.median > 1.2 and spread.n == 3 for spread in result["quick"].values())


def test_a_sample_is_at_least_one_batch_and_counts_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [0.0], []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    def predict(images: np.ndarray) -> np.ndarray:
        now[0] += 0.02
        seen.append(len(images))
        return images

    assert latency.Repeated(predict, np.zeros((4, 1)))() == pytest.approx(50)
    assert seen == [4, 4, 4]  # 0.05 s are full after the third
    monkeypatch.setattr(latency, "SAMPLE", 0.0)
    assert latency.Repeated(predict, np.zeros((4, 1)))() == pytest.approx(50)
    assert len(seen) == 4


def test_latencies_are_percentiles_of_single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    class Once:
        """Takes a millisecond, and ten in every tenth call."""

        calls = 0

        def logits(self, images: np.ndarray) -> np.ndarray:
            self.calls += 1
            now[0] += 0.01 if self.calls % 10 == 0 else 0.001
            return images

    result = latency.latencies({"a": Once(), "b": Once()}, images=np.zeros((3, 2, 2, 1), np.uint8), sizes=(1, 64))  # type: ignore[dict-item]
    assert result["a"][1].p50 == pytest.approx(1.0)
    assert result["a"][64].p95 == pytest.approx(10.0)
    assert result["b"][1].n == latency.CALLS
