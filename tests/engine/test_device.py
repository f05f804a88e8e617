import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

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
    monkeypatch.setattr(device, "cpu_quota", lambda: None)
    assert device.cores_granted() == 3
    monkeypatch.setattr(device, "cpu_quota", lambda: 2.0)
    assert device.cores_granted() == 2


@pytest.mark.parametrize(
    ("quota", "cores"), [(0.05, 1), (0.5, 1), (1.0, 1), (1.4, 1), (1.5, 2), (2.5, 3), (3.49, 3), (3.5, 4), (99.0, 4)]
)
def test_a_part_of_a_core_is_rounded_half_up(monkeypatch: pytest.MonkeyPatch, quota: float, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(device, "cpu_quota", lambda: quota)
    assert device.cores_granted() == cores


V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_SETS = "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"


def machine(root: Path, *, cgroup: str, mounts: tuple[str, ...], **quotas: str) -> Path:
    """A made-up machine: a quota is `"QUOTA PERIOD"`, its name the folder with `__` for `/` and `_` for the root."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup + "\n")
    (root / "proc/self/mountinfo").write_text("\n".join(("22 1 0:21 / /proc rw - proc proc rw", *mounts)) + "\n")
    v2 = mounts[0] == V2
    point = root / ("sys/fs/cgroup" if v2 else "sys/fs/cgroup/cpu,cpuacct")
    for name, text in quotas.items():
        folder = point / name.strip("_").replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        if v2:
            (folder / "cpu.max").write_text(text + "\n")
        else:
            for file, value in zip(("cpu.cfs_quota_us", "cpu.cfs_period_us"), text.split(), strict=True):
                (folder / file).write_text(value + "\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "mounts", "quotas", "expected"),
    [
        ("0::/", (V2,), {"_": "150000 100000"}, 1.5),
        ("0::/", (V2,), {"_": "max 100000"}, None),
        ("0::/a/b", (V2,), {"a__b": "max 100000", "a": "250000 100000"}, 2.5),
        ("0::/a/b", (V2,), {"a__b": "50000 100000", "a": "400000 100000"}, 0.5),
        ("0::/a/b", (V2,), {"a__b": "400000 100000", "a": "50000 100000", "other": "1000 100000"}, 0.5),
        ("4:memory:/m\n1:cpu,cpuacct:/a", (V1,), {"a": "120000 100000"}, 1.2),
        ("1:cpu,cpuacct:/a/b", (V1, V1_SETS), {"a__b": "-1 100000", "a": "300000 100000"}, 3.0),
        ("1:cpu,cpuacct:/a", (V1,), {"a": "-1 100000"}, None),
        # other people's mounts: without a source, and with any bytes in a name
        (
            "0::/",
            (V2, "36 35 98:0 / /mnt rw - tmpfs  rw", "37 35 8:1 / /media/a\fb rw - vfat x rw"),
            {"_": "200000 100000"},
            2.0,
        ),
        # mounted from /docker/x on: the path of the process is not below the mount point again
        ("1:cpu,cpuacct:/docker/x", (V1.replace("0:29 /", "0:29 /docker/x"),), {"_": "200000 100000"}, 2.0),
        # a process that was moved out of its namespace sees its cgroup above the root
        ("0::/../other", (V2,), {"_": "200000 100000"}, 2.0),
        ("0::/", (V2,), {"_": "nonsense"}, None),
        ("0::/", (V2,), {}, None),
        ("0::/", ("33 31 0:30 / /x rw - tmpfs tmpfs rw",), {}, None),
    ],
)
def test_the_quota_is_the_smallest_of_the_cgroups_around_the_process(
    cgroup: str, mounts: tuple[str, ...], quotas: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    assert device.cpu_quota(machine(tmp_path, cgroup=cgroup, mounts=mounts, **quotas)) == expected


def test_there_is_no_quota_where_there_are_no_cgroups(tmp_path: Path) -> None:
    assert device.cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("name", "size", "published"), [("resnet20", 32, 40.8e6), ("resnet56", 32, 125e6)])
def test_the_estimate_of_multiply_adds_is_near_the_published_count(name: str, size: int, published: float) -> None:
    assert device.multiply_adds(registry.get("arch", name), size) == pytest.approx(published, rel=0.05)


SHRINKS = """
import torch
from resnetctl.engine.device import place
net = torch.nn.Conv2d({channels}, 8, 1, stride=2, bias=False)
place(net, torch.device("cpu"))
images = torch.rand(16, {channels}, 8, 8).contiguous(memory_format=torch.channels_last)
for _ in range(20):
    net(images).sum().backward()
"""


@pytest.mark.parametrize("channels", [2, 4, 6, 7])
def test_a_narrow_strided_convolution_keeps_its_gradient_in_its_memory(channels: int) -> None:
    checked = os.environ | {"MALLOC_CHECK_": "3"}  # glibc's: the process ends where its memory is spoilt
    done = subprocess.run([sys.executable, "-c", SHRINKS.format(channels=channels)], env=checked, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_narrow_strided_convolution_takes_its_image_by_name_too() -> None:
    net = torch.nn.Conv2d(4, 8, 1, stride=2)
    device.place(net, torch.device("cpu"))
    images = torch.rand(3, 4, 8, 8)
    assert torch.equal(net(input=images), net(images))


def test_a_narrow_strided_convolution_computes_the_same() -> None:
    net = torch.nn.Conv2d(4, 8, 1, stride=2)
    images = torch.rand(3, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    before = net(images)
    device.place(net, torch.device("cpu"))
    torch.testing.assert_close(net(images), before)


def test_freed_memory_is_kept_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    assert device.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    for name in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert not device.keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl and others
    assert not device.keep_freed_memory()
