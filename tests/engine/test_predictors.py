"""The torch predictor gives the same logits as plain torch."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.trained import IMAGE, network
from torch import Tensor

from resnetctl import registry
from resnetctl.blocks import BasicBlock
from resnetctl.engine import predictors
from resnetctl.engine.predictors import feature_predictor, held_groups, held_logits, shipped_predictor, torch_predictor
from resnetctl.models.resnet import build
from resnetctl.spec import Arch
from resnetctl.testing.waits import ACCELERATOR, NoWaits

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_the_predictor_normalises_images_and_returns_float32_logits() -> None:
    pixels = torch.from_numpy(IMAGES.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = network()((pixels / 255 - 0.4) / 0.3).numpy()
    logits = torch_predictor(network(), IMAGE, device=CPU)(IMAGES)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(wanted, abs=1e-5)


def test_the_model_is_in_eval_mode_and_keeps_its_statistics() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch_predictor(model, IMAGE, device=CPU)(IMAGES)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_logits_of_an_image_do_not_depend_on_its_batch() -> None:
    predict = torch_predictor(network(), IMAGE, device=CPU)
    assert predict(IMAGES[:1]) == pytest.approx(predict(IMAGES)[:1], abs=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_input_is_not_changed_and_may_be_read_only(frozen: bool) -> None:
    images = IMAGES.copy()
    images.flags.writeable = not frozen
    torch_predictor(network(), IMAGE, device=CPU)(images)
    assert np.array_equal(images, IMAGES)


def test_bf16_gives_float32_logits_close_to_those_of_fp32() -> None:
    exact = torch_predictor(network(), IMAGE, device=CPU)(IMAGES)
    rough = torch_predictor(network(), IMAGE, device=CPU, precision="bf16")(IMAGES)
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert rough == pytest.approx(exact, abs=0.05 * float(np.abs(exact).max()))


def test_the_feature_predictor_gives_the_shipped_logits_and_what_the_head_reads() -> None:
    model = network()
    logits, features = feature_predictor(model, IMAGE, device=CPU)(IMAGES)
    assert features.shape == (5, 8)
    assert np.array_equal(logits, shipped_predictor(network(), IMAGE, device=CPU)(IMAGES))
    with torch.no_grad():
        assert model.fc(torch.from_numpy(features)).numpy() == pytest.approx(logits, abs=1e-6)
        pixels = torch.from_numpy(IMAGES.astype(np.float32)).permute(0, 3, 1, 2)
        last = network().features((pixels / 255 - 0.4) / 0.3)["layer2"].mean((2, 3)).numpy()
    assert features == pytest.approx(last, abs=1e-5)


def test_threads_that_share_a_predictor_get_their_own_features() -> None:
    both = feature_predictor(network(), IMAGE, device=CPU)
    batches = [np.random.default_rng(seed).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8) for seed in range(40)]
    alone = [both(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(both, batches))
    for (logits, features), (its, own) in zip(alone, together, strict=True):
        assert np.array_equal(logits, its)
        assert features is not None
        assert own is not None
        assert np.array_equal(features, own)


def test_evaluation_on_an_accelerator_copies_the_logits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    many = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8))
    labels = np.arange(300) % 3
    copies: list[torch.Tensor] = []
    copy = torch.Tensor.cpu
    monkeypatch.setattr(predictors, "HELD_PIXELS", 0)  # batches of `GROUP`
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (copies.append(tensor), copy(tensor))[1])
    groups = list(held_groups(network(), IMAGE, pixels=many, labels=labels))
    assert [len(logits) for logits, _ in groups] == [128, 128, 44]
    assert [len(tensor) for tensor in copies] == [300]
    assert np.array_equal(np.concatenate([rows for _, rows in groups]), labels)
    wanted = torch_predictor(network(), IMAGE, device=CPU)(many.numpy())
    assert np.concatenate([logits for logits, _ in groups]) == pytest.approx(wanted, abs=1e-5)


def test_no_batch_of_an_evaluation_waits_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it knows no such device
    monkeypatch.setattr(predictors, "HELD_PIXELS", 0)
    model = network().to(ACCELERATOR)
    pixels = torch.zeros(300, 8, 8, 1, dtype=torch.uint8, device=ACCELERATOR)
    held_logits(model, IMAGE, pixels=pixels)  # the first pass makes constants
    with NoWaits() as operations:
        logits = held_logits(model, IMAGE, pixels=pixels)
    assert (logits.shape[0], logits.device.type) == (300, ACCELERATOR)
    assert operations.count > 30


class Failing(BasicBlock):
    """Fails in its forward pass."""

    def forward(self, images: Tensor) -> Tensor:
        raise AttributeError("nope")


def test_a_block_without_a_name_any_more_fails_as_it_does() -> None:
    """A block under test is registered only while it is built."""
    arch = Arch(name="odd", block="odd", depths=(1,), widths=(4,))
    with registry.overlay("block", odd=Failing):
        predict = torch_predictor(build(arch, classes=2, image=IMAGE), IMAGE, device=CPU)
    with pytest.raises(AttributeError, match="nope"):
        predict(IMAGES)
