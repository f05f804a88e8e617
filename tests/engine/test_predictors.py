"""The torch predictor against plain torch."""

import numpy as np
import pytest
import torch
from support.trained import IMAGE, network

from resnetctl.engine.predictors import torch_predictor

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_logits_are_those_of_the_normalised_images() -> None:
    pixels = torch.from_numpy(IMAGES.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = network()((pixels / 255 - 0.4) / 0.3).numpy()
    found = torch_predictor(network(), IMAGE, device=CPU)(IMAGES)
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=1e-5)


def test_the_model_is_in_eval_mode_and_keeps_its_statistics() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch_predictor(model, IMAGE, device=CPU)(IMAGES)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_one_image_does_not_depend_on_the_others() -> None:
    predict = torch_predictor(network(), IMAGE, device=CPU)
    assert predict(IMAGES[:1]) == pytest.approx(predict(IMAGES)[:1], abs=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_input_is_left_alone_and_may_be_read_only(frozen: bool) -> None:
    images = IMAGES.copy()
    images.flags.writeable = not frozen
    torch_predictor(network(), IMAGE, device=CPU)(images)
    assert np.array_equal(images, IMAGES)


def test_bf16_gives_float32_near_the_truth() -> None:
    exact = torch_predictor(network(), IMAGE, device=CPU)(IMAGES)
    rough = torch_predictor(network(), IMAGE, device=CPU, precision="bf16")(IMAGES)
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert rough == pytest.approx(exact, abs=0.05 * float(np.abs(exact).max()))
