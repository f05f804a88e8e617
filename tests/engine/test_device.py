import os

import pytest
import torch

from resnetctl import registry
from resnetctl.engine import device
from resnetctl.errors import UsageError


def test_auto_is_the_best_device_here() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.pick_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "xpu"])
def test_a_device_that_is_not_here_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        device.pick_device(name)
    assert caught.value.where == "--device"
    assert name in caught.value.message


def test_a_placed_model_is_channels_last_and_the_same() -> None:
    model = torch.nn.Conv2d(3, 4, 3)
    before = model.weight.detach().clone()
    device.place(model, torch.device("cpu"))
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.weight, before)


def test_auto_precision_on_a_cpu_is_fp32() -> None:
    assert device.pick_precision("auto", torch.device("cpu")) == "fp32"


def test_bf16_is_refused_with_a_reason_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda _: False)
    with pytest.raises(UsageError, match="no bf16 arithmetic"):
        device.pick_precision("bf16", torch.device("cpu"))


def test_bf16_is_taken_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda _: True)
    assert device.pick_precision("bf16", torch.device("cpu")) == "bf16"


def test_tiny_nets_get_one_thread_and_others_every_core_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores_granted", lambda: 6)
    arch = registry.get("arch", "resnet20")
    assert device.pick_threads(0, arch=arch, size=8) == 1
    assert device.pick_threads(0, arch=arch, size=32) == 6
    assert device.pick_threads(3, arch=arch, size=8) == 3


def test_cores_granted_respect_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(device, "_cgroup_cores", lambda: None)
    assert device.cores_granted() == 3
    monkeypatch.setattr(device, "_cgroup_cores", lambda: 2)
    assert device.cores_granted() == 2


@pytest.mark.parametrize(("name", "size", "published"), [("resnet20", 32, 40.8e6), ("resnet56", 32, 125e6)])
def test_the_estimate_of_multiply_adds_is_near_the_published_count(name: str, size: int, published: float) -> None:
    assert device.multiply_adds(registry.get("arch", name), size) == pytest.approx(published, rel=0.05)
