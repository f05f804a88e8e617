"""`compare` finds any difference between two runtimes on the same images."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.trained import IMAGE, network

from resnetctl.deploy import parity
from resnetctl.deploy.parity import BATCHES, compare, inputs_in_batches, noisy_numbers
from resnetctl.engine.metrics import probabilities
from resnetctl.engine.predictors import torch_predictor
from resnetctl.spec import VectorSpec

POOL = np.random.default_rng(0).integers(0, 256, (74, 8, 8, 1), dtype=np.uint8)


class Fake:
    """A stand-in for a model on onnxruntime: returns torch's outputs, changed."""

    def __init__(self, change: Callable[[np.ndarray], np.ndarray], *, temperature: float = 1.0) -> None:
        self.change = change
        self.card = SimpleNamespace(weights=SimpleNamespace(temperature=temperature))
        self.sizes: list[int] = []

    def outputs(self, images: np.ndarray) -> list[np.ndarray]:
        self.sizes.append(len(images))
        logits = predictor()(images)
        return [self.change(logits), probabilities(logits).astype(np.float32)]


def predictor() -> Callable[[np.ndarray], np.ndarray]:
    return torch_predictor(network(), IMAGE, device=torch.device("cpu"))


def test_equal_outputs_agree_on_all_batch_sizes() -> None:
    model = Fake(lambda logits: logits)
    agreement = compare(predictor(), model, pool=POOL)
    assert model.sizes == list(BATCHES)
    assert agreement.problems == ()
    assert agreement.max_abs_diff < 1e-6


def test_a_short_pool_is_repeated() -> None:
    model = Fake(lambda logits: logits)
    assert compare(predictor(), model, pool=POOL[:3]).problems == ()
    assert model.sizes == list(BATCHES)


@pytest.mark.parametrize(("shift", "holds"), [(0.5e-4, True), (2e-4, False)])
def test_the_tolerance_is_relative_to_the_largest_logit(shift: float, holds: bool) -> None:
    def moved(logits: np.ndarray) -> np.ndarray:
        return logits + np.float32(shift * max(1.0, float(np.abs(logits).max())))

    assert (compare(predictor(), Fake(moved), pool=POOL).problems == ()) is holds


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_fails_the_check(bad: float) -> None:
    def spoiled(logits: np.ndarray) -> np.ndarray:
        logits = logits.copy()
        logits[-1, 0] = bad
        return logits

    assert len(compare(predictor(), Fake(spoiled), pool=POOL).problems) == len(BATCHES)
    both = compare(lambda images: spoiled(predictor()(images)), Fake(spoiled), pool=POOL)
    assert len(both.problems) == len(BATCHES)


def test_another_top_1_fails_the_check_at_any_difference() -> None:
    part = parity._Part(diff=0.0, tolerance=1.0, decided=5, same=4)
    assert not part.holds
    assert "4 of 5" in part.problem(7)


def test_probabilities_are_compared_at_the_temperature_of_the_card() -> None:
    """The fake's probabilities are those of temperature 1."""
    assert len(compare(predictor(), Fake(lambda logits: logits, temperature=2.0), pool=POOL).problems) == len(BATCHES)


def test_inputs_keep_pictures_and_numbers_together_and_noise_has_the_spread_of_train() -> None:
    vector = VectorSpec(columns=("a", "b"), mean=(5.0, -1.0), std=(0.5, 0.0))
    numbers = noisy_numbers(vector)
    assert numbers.shape == (74, 2)
    assert numbers[:, 0].mean() == pytest.approx(5, abs=0.2)
    assert (numbers[:, 1] == -1).all()
    pool, sizes = np.arange(10)[:, None], []
    for images, own in inputs_in_batches((pool, 2.0 * pool)):
        assert np.array_equal(own, 2.0 * images)
        sizes.append(len(images))
    assert sizes == [1, 2, 7, 64]
