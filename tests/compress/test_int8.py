"""int8 is compared with float32 on val; layers that hurt go back to float32, and a slow file is refused."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.trained import card, network

from resnetctl.compress import int8
from resnetctl.compress.int8 import Gap, Int8Report, Limits, gap_between, quantise, slow_lines
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.onnx_writer import to_bytes
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed
from resnetctl.hints import Setting
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


@pytest.mark.parametrize("size", [1, 64])
def test_a_file_that_is_slower_for_one_size_only_is_refused_too(speed: dict[int, Spread], size: int) -> None:
    data, val = case(centred())
    speed[size] = SLOW
    with pytest.raises(CheckFailed, match="int8 is slower") as caught:
        quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert len(caught.value.problems) == 2  # both speeds, so that a person can decide
    _, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8, allow_slower=True))
    assert [line.split(": ")[1] for line in slow_lines(report)] == [f"batch of {size}"]


def test_a_busy_moment_of_the_machine_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, val = case(centred())
    tables = iter([{1: SLOW, 64: FAST}, {1: FAST, 64: SLOW}])
    monkeypatch.setattr(int8, "speedups", lambda base, others, images: dict.fromkeys(others, next(tables)))
    _, report = quantise(data, images(64), val=val, limits=Limits(max_drop=8))
    assert report.speedup == {"1": FAST, "64": SLOW}  # the second measurement, which shows another size as slow
    assert next(tables, None) is None


def test_the_metadata_hold_no_measured_time() -> None:
    gap = Gap(before=1.0, after=1.0, drop=0.0, interval=(0.0, 0.0), agreement=1.0, count=3)
    report = Int8Report(
        calibration=4, float_layers=("fc",), layers=2, reduce_range=True, float_bytes=9, gap=gap, speedup={"1": FAST}
    )
    assert report.recorded() == {"calibration": 4, "float_layers": ["fc"], "reduce_range": True}


def test_equal_files_have_no_gap_and_one_image_divides_by_nothing() -> None:
    labels = np.array([0, 1, 2])
    same = gap_between(labels, labels, labels=labels)
    assert (same.drop, same.interval, same.agreement) == (0, (0, 0), 1)
    lost = gap_between(labels[:1], labels[1:2], labels=labels[:1])
    assert (lost.drop, lost.interval, lost.before, lost.after) == (1, (1, 1), 1, 0)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60))
def test_the_gap_turns_round_with_the_files(rows: list[tuple[int, int, int]]) -> None:
    labels, one, two = (np.array(column) for column in zip(*rows, strict=True))
    there, back = gap_between(one, two, labels=labels), gap_between(two, one, labels=labels)
    assert there.drop == pytest.approx(-back.drop)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.drop == pytest.approx(there.before - there.after)
    assert there.interval[0] <= there.drop <= there.interval[1]
    assert 1 - there.agreement >= abs(there.drop) - 1e-12


class Made:
    """A maker whose gap falls by the points of each layer that is float32, and whose speeds are given."""

    def __init__(self, points: dict[str, float], *, grouped: tuple[str, ...] = (), mixed: Spread = FAST) -> None:
        self.points, self.mixed = points, mixed
        self.ranges = SimpleNamespace(layers=tuple(points), grouped=grouped)
        self.asked: list[tuple[str, ...]] = []

    def gap(self, floats: tuple[str, ...]) -> Gap:
        self.asked.append(tuple(floats))
        drop = sum(value for name, value in self.points.items() if name not in floats) / 100
        return Gap(before=0.9, after=0.9 - drop, drop=drop, interval=(drop, drop), agreement=1.0, count=1234)

    def most_hurt(self, floats: tuple[str, ...]) -> list[str]:
        return sorted((name for name in self.points if name not in floats), key=lambda name: -self.points[name])

    def speedup(self, floats: tuple[str, ...]) -> dict[str, Spread]:
        return {"1": self.mixed if floats else SLOW}


def test_layers_go_back_worst_first_and_no_more_than_needed() -> None:
    maker = Made({"a": 1.0, "b": 3.0, "c": 0.3, "d": 0.0})
    floats, gap = int8._put_back(maker, (), Limits(max_drop=0.5))  # type: ignore[arg-type]
    assert floats == ("b", "a")
    assert 100 * gap.drop == pytest.approx(0.3)
    assert maker.asked == [(), ("b",), ("b", "a")]
    assert int8._put_back(maker, ("b",), Limits(max_drop=1.3))[0] == ("b",)  # type: ignore[arg-type]


def test_no_more_than_half_of_the_layers_go_back() -> None:
    maker = Made({"a": 1.0, "b": 3.0, "c": 2.0, "d": 4.0})
    with pytest.raises(CheckFailed, match=r"int8 loses 10.00 points on val .* 1,234 images") as caught:
        int8._put_back(maker, (), Limits(max_drop=0.5))  # type: ignore[arg-type]
    assert caught.value.problems == ("still 3.00 points with these layers in float32: d, b",)
    assert caught.value.hint == (Setting("max_drop", 3.0, note="accepts it"),)
    full = Made({"a": 9.0})
    assert int8._put_back(full, (), Limits())[0] == ("a",)  # type: ignore[arg-type]


def test_the_drop_that_the_hint_names_is_accepted() -> None:
    maker = Made({"a": 1.23, "b": 5.0})
    with pytest.raises(CheckFailed) as caught:
        int8._put_back(maker, (), Limits(max_drop=1.0))  # type: ignore[arg-type]
    (hint,) = caught.value.hint
    assert isinstance(hint, Setting)
    assert hint.value == pytest.approx(1.3)
    assert int8._put_back(maker, (), Limits(max_drop=hint.value))[0] == ("b",)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mixed", "floats"), [(FAST, ("g",)), (SLOW, ())])
def test_grouped_layers_stay_float32_only_where_that_is_faster(mixed: Spread, floats: tuple[str, ...]) -> None:
    assert int8._without_slow_groups(Made({"a": 0.0}, grouped=("g",), mixed=mixed)) == floats  # type: ignore[arg-type]
    assert int8._without_slow_groups(Made({"a": 0.0})) == ()  # type: ignore[arg-type]


def test_a_size_is_slow_when_three_of_four_samples_are_slower() -> None:
    def report(**speeds: Spread) -> Int8Report:
        gap = gap_between(np.zeros(1, int), np.zeros(1, int), labels=np.zeros(1, int))
        return Int8Report(
            calibration=1, float_layers=(), layers=1, reduce_range=False, float_bytes=1, gap=gap, speedup=speeds
        )

    unsure = Spread(median=0.9, low=0.8, high=1.0, n=3)
    assert report(a=SLOW, b=SLOW).slow_sizes == {"a", "b"}
    assert report(a=SLOW, b=FAST).slow_sizes == {"a"}
    assert not report(a=unsure).slow_sizes
    (line,) = slow_lines(report(a=unsure, b=FAST))
    assert line.startswith("int8 is about as fast as float32 on this machine: batch of a: 0.90 times the speed")
    assert slow_lines(report(a=SLOW, b=FAST))[0].startswith("int8 is slower than float32")
