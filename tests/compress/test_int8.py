"""int8 is compared with float32 on val; layers that hurt go back to float32, and a slow file is refused."""

import math

import numpy as np
import pytest
import torch
from support.trained import card, network

from resnetctl.compress import int8
from resnetctl.compress.int8 import Gap, Int8Report, Limits, gap_between, quantise, slow_lines
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.onnx_writer import to_bytes
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed
from resnetctl.models.resnet import ResNet

FAST, SLOW = (Spread(median=value, low=value, high=value, n=3) for value in (2.0, 0.5))


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> dict[int, Spread]:
    """The speed-ups that are measured: those of this table."""
    table = {1: FAST, 64: FAST}
    monkeypatch.setattr(int8, "speedups", lambda base, others, images: dict.fromkeys(others, table))
    return table


def images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)


def case(model: ResNet, count: int = 400) -> tuple[bytes, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the float32 file, and images with the classes that it gives them: its own accuracy is 1."""
    data = to_bytes(model, card(), weights_sha256="", gate={})
    pixels = images(count)
    return data, [(pixels, from_bytes(data, "float").logits(pixels).argmax(1))]


def centred(seed: int = 0) -> ResNet:
    """Return a network that gives each class to about a third of noise images."""
    model = network(seed)
    data = to_bytes(model, card(), weights_sha256="", gate={})
    with torch.no_grad():
        model.fc.bias -= torch.from_numpy(from_bytes(data, "float").logits(images(300)).mean(0))
    return model


def planted() -> ResNet:
    """Return such a network with one channel a thousand times as large, which the next convolution undoes."""
    model = centred()
    block = model.layer1[0]  # type: ignore[index]
    with torch.no_grad():
        block.bn1.weight[0] *= 1e3
        block.bn1.bias[0] *= 1e3
        block.conv2.weight[:, 0] /= 1e3
    return model


def test_the_gap_counts_the_images_on_which_the_files_differ() -> None:
    labels = np.zeros(100, dtype=np.int64)
    before, after = labels.copy(), labels.copy()
    before[:10], after[5:20] = 1, 1  # 5 won, 10 lost, 5 wrong in both
    gap = gap_between(before, after, labels=labels)
    assert (gap.before, gap.after, gap.drop) == (0.9, 0.85, pytest.approx(0.05))
    half = 1.959964 * math.sqrt(15 - 25 / 100) / 100
    assert gap.interval == pytest.approx((0.05 - half, 0.05 + half))
    assert (gap.agreement, gap.count) == (0.85, 100)


def test_an_ordinary_network_is_int8_in_every_layer(speed: dict[int, Spread]) -> None:
    data, val = case(centred())
    ranges, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert (report.float_layers, report.layers, report.calibration) == ((), 6, 64)
    assert report.gap.drop == pytest.approx(1 - report.gap.agreement)
    assert report.speedup == {"1": FAST, "64": FAST}
    assert from_bytes(ranges.quantised(), "int8").logits(images(3)).shape == (3, 3)


def test_a_sensitive_layer_goes_back_to_float32_and_is_named(speed: dict[int, Spread]) -> None:
    data, val = case(planted())
    _, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert set(report.float_layers) & {"layer1.0.conv1", "layer1.0.conv2"}
    assert len(report.float_layers) <= 3
    assert 100 * report.gap.drop <= 8


def test_an_accuracy_that_no_layer_saves_fails_the_check(speed: dict[int, Spread]) -> None:
    data, val = case(centred())
    impossible = [(pixels, labels) for pixels, labels in val]
    with pytest.raises(CheckFailed, match=r"int8 loses .* points on val \(95 % interval") as caught:
        quantise(data, images(64), val=impossible, limits=Limits(max_drop=-100))
    assert "with these layers in float32" in caught.value.problems[0]
    assert caught.value.exit_code == 5


def test_a_slower_file_is_refused_unless_that_is_allowed(speed: dict[int, Spread]) -> None:
    data, val = case(centred())
    speed.update({1: SLOW, 64: SLOW})
    with pytest.raises(CheckFailed, match="int8 is slower than float32 on this machine") as caught:
        quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert "batch of 1: 0.50 times the speed" in caught.value.problems[0]
    _, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8, allow_slower=True))
    assert len(slow_lines(report)) == 2


def test_a_file_that_is_slower_for_one_size_only_is_written_and_told(speed: dict[int, Spread]) -> None:
    data, val = case(centred())
    speed[1] = SLOW
    _, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert [line.partition(":")[0] for line in slow_lines(report)] == ["batch of 1"]


def test_the_metadata_hold_no_measured_time() -> None:
    gap = Gap(before=1.0, after=1.0, drop=0.0, interval=(0.0, 0.0), agreement=1.0, count=3)
    report = Int8Report(
        calibration=4, float_layers=("fc",), layers=2, reduce_range=True, float_bytes=9, gap=gap, speedup={"1": FAST}
    )
    assert report.recorded() == {"calibration": 4, "float_layers": ["fc"], "reduce_range": True}
