import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from resnetctl.engine.checkpoint import machine_facts
from resnetctl.engine.hardware import device, precision
from resnetctl.errors import UsageError
from resnetctl.hints import Setting


def test_auto_picks_cuda_then_mps_then_cpu() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.pick_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "xpu"])
def test_an_unknown_or_absent_device_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        device.pick_device(name)
    assert caught.value.where == Setting("device")
    assert name in caught.value.message


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Torch says that it has a CUDA device, and its settings are put back."""
    backends = torch.backends
    cudnn, matmul = backends.cudnn, backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    flags = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"H100 {device}")
    monkeypatch.delenv(device.WORKSPACE, raising=False)
    yield monkeypatch
    torch.use_deterministic_algorithms(before[0])
    torch.utils.deterministic.fill_uninitialized_memory = before[1]
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = flags
    os.environ.pop(device.WORKSPACE, None)


def kernel_settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    tf32 = cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, tf32


def test_exact_on_cuda_takes_kernels_that_repeat_and_no_tf32(gpu: pytest.MonkeyPatch) -> None:
    torch.backends.cudnn.benchmark = True
    assert device.claim_device("cuda", exact=True) == torch.device("cuda")
    assert kernel_settings() == (True, True, False, False)
    assert os.environ[device.WORKSPACE] == ":4096:8"


def test_without_exact_and_on_a_cpu_nothing_is_set(gpu: pytest.MonkeyPatch) -> None:
    before = kernel_settings()
    device.claim_device("cuda", exact=False)
    device.claim_device("cpu", exact=True)
    assert kernel_settings() == before
    assert device.WORKSPACE not in os.environ


@pytest.mark.parametrize(("value", "used"), [(":0:0", False), (":0:0", True), ("", True)])
def test_exact_is_refused_where_cublas_would_not_repeat(gpu: pytest.MonkeyPatch, value: str, used: bool) -> None:
    gpu.setattr(torch.cuda, "is_initialized", lambda: used)
    if value:
        gpu.setenv(device.WORKSPACE, value)
    with pytest.raises(UsageError, match="need CUBLAS_WORKSPACE_CONFIG=:4096:8") as caught:
        device.claim_device("cuda", exact=True)
    assert caught.value.where == Setting("exact")
    assert kernel_settings()[0] is False


def test_exact_accepts_a_workspace_that_repeats_after_earlier_work(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "is_initialized", lambda: True)
    gpu.setenv(device.WORKSPACE, ":16:8")
    device.claim_device("cuda", exact=True)
    assert os.environ[device.WORKSPACE] == ":16:8"


def test_checkpoints_of_a_gpu_name_it(gpu: pytest.MonkeyPatch) -> None:
    assert precision.arithmetic_facts("cpu", "fp32") == {}
    assert precision.arithmetic_facts("cuda:0", "bf16") == {"gpu": "H100 cuda:0"}
    assert machine_facts(device="cuda:0")["gpu"] == "H100 cuda:0"
    assert "gpu" not in machine_facts()
    gpu.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.arithmetic_facts("cuda", "fp32") == {"gpu": "none"}


def test_a_placed_model_is_channels_last_with_equal_weights() -> None:
    model = torch.nn.Conv2d(3, 4, 3)
    before = model.weight.detach().clone()
    device.place(model, torch.device("cpu"))
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.weight, before)


STRIDED = """
import torch
from resnetctl.engine.hardware.device import place
net = torch.nn.Conv2d({channels}, 8, 1, stride=2, bias=False)
place(net, torch.device("cpu"))
images = torch.rand(16, {channels}, 8, 8).contiguous(memory_format=torch.channels_last)
for _ in range(20):
    net(images).sum().backward()
"""


@pytest.mark.parametrize("channels", [2, 4, 6, 7])
def test_the_gradient_of_a_narrow_strided_convolution_stays_in_its_memory(channels: int) -> None:
    checked = os.environ | {"MALLOC_CHECK_": "3"}  # glibc aborts the process if it wrote past its memory
    done = subprocess.run([sys.executable, "-c", STRIDED.format(channels=channels)], env=checked, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_narrow_strided_convolution_takes_its_input_by_keyword() -> None:
    net = torch.nn.Conv2d(4, 8, 1, stride=2)
    device.place(net, torch.device("cpu"))
    images = torch.rand(3, 4, 8, 8)
    assert torch.equal(net(input=images), net(images))


def test_placing_a_narrow_strided_convolution_keeps_its_output() -> None:
    net = torch.nn.Conv2d(4, 8, 1, stride=2)
    images = torch.rand(3, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    before = net(images)
    device.place(net, torch.device("cpu"))
    torch.testing.assert_close(net(images), before)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_step_on_cuda_seeds_the_generators_of_the_cpu_and_of_its_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = (torch.Generator(), torch.Generator())
    monkeypatch.setattr(torch.cuda, "default_generators", devices)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    device.seed_generators(torch.device(name), 5)
    used, other = devices if name == "cuda" else reversed(devices)
    assert used.initial_seed() == torch.initial_seed() == 5
    assert other.initial_seed() != 5
