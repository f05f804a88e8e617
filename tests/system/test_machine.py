"""Cores, memory and load are read from kernel files, here with invented content."""

import ctypes
import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetctl.system import machine
from resnetctl.system.machine import OtherLoad, PeakMemory, processor


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that the test moves forward."""
    now = [0.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_the_instructions_of_bf16_are_a_flag_of_the_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "Path", lambda _: flags)
    assert machine.bf16_instructions() == ""
    for text, found in (("sse avx2 avx512f", ""), ("sse avx512_bf16", "avx512_bf16"), ("asimd bf16 i8mm", "bf16")):
        flags.write_text(f"flags : {text}\n")
        assert machine.bf16_instructions() == found
    flags.write_text("flags : avx512_bf16 amx_bf16 amx_tile\n")
    assert machine.bf16_instructions() == "amx_bf16", "the faster one"


def test_cores_granted_respect_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    assert machine.cores_granted() == 3
    monkeypatch.setattr(machine, "cpu_quota", lambda: 2.0)
    assert machine.cores_granted() == 2


@pytest.mark.parametrize(
    ("quota", "cores"), [(0.05, 1), (0.5, 1), (1.0, 1), (1.4, 1), (1.5, 2), (2.5, 3), (3.49, 3), (3.5, 4), (99.0, 4)]
)
def test_a_quota_is_rounded_half_up_to_whole_cores(monkeypatch: pytest.MonkeyPatch, quota: float, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    assert machine.cores_granted() == cores


V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_SETS = "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"


def write_machine(root: Path, *, cgroup: str, mounts: tuple[str, ...], **quotas: str) -> Path:
    """Write the kernel files of a machine. `quotas`: folder (`__` for `/`, `_` for the root) -> `"QUOTA PERIOD"`."""
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
        # mounts of other programs: without a source, and with any bytes in a name
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
def test_the_quota_is_the_smallest_of_the_cgroup_and_its_parents(
    cgroup: str, mounts: tuple[str, ...], quotas: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    assert machine.cpu_quota(write_machine(tmp_path, cgroup=cgroup, mounts=mounts, **quotas)) == expected


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert machine.cpu_quota(tmp_path) is None


def test_freed_memory_is_kept_unless_the_user_set_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    assert machine.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    for name in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert not machine.keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl and others
    assert not machine.keep_freed_memory()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_process_may_open_as_many_files_as_it_has_shards_up_to_the_hard_limit() -> None:
    code = """if True:
        import resource
        from resnetctl.system.machine import OTHER_FILES, allow_open_files
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 900))
        limits = []
        for count in (10, 400, 20, 5000):
            allow_open_files(count)
            limits.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES)
        print(limits)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[44, 400, 400, 644]"


def test_the_processor_has_a_name() -> None:
    assert processor().strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports mapped pages separately")
def test_the_peak_counts_memory_that_was_freed_since() -> None:
    peak = PeakMemory()
    with mmap.mmap(-1, 64 << 20) as held:  # fresh pages; torch might reuse memory that it has already
        held.write(bytes(64 << 20))
    grown = peak.grown()
    assert grown is not None
    assert 60 << 20 < grown < 160 << 20  # `bytes(64 << 20)` needs memory too
    assert (peak.highest() or 0) > grown


def status(folder: Path, *, high: int, now: int, mapped: int) -> None:
    (folder / "status").write_text(f"Name:\tx\nVmHWM:\t{high} kB\nVmRSS:\t{now} kB\nRssFile:\t{mapped} kB\n")


def test_the_peak_does_not_count_mapped_files(tmp_path: Path) -> None:
    status(tmp_path, high=100, now=100, mapped=10)
    peak = PeakMemory(tmp_path)
    assert (tmp_path / "clear_refs").read_text() == "5"
    status(tmp_path, high=175, now=150, mapped=40)
    assert peak.grown() == 45 * 1024
    assert peak.highest() == 135 * 1024


@pytest.mark.parametrize("text", [None, "VmHWM:\t1 kB\n", "VmHWM: many kB\n"])
def test_the_peak_is_none_if_the_system_does_not_report_memory(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "status").write_text(text)
    assert PeakMemory(tmp_path / "proc" if text is None else tmp_path).grown() is None
    assert PeakMemory(tmp_path / "proc" if text is None else tmp_path).highest() is None


def stat(path: Path, *, user: float = 0, nice: float = 0, idle: float = 0, steal: float = 0) -> Path:
    ticks = os.sysconf("SC_CLK_TCK")
    columns = [user, nice, 0, idle, 0, 0, 0, steal, user, 0]
    path.write_text("cpu  " + " ".join(str(int(value * ticks)) for value in columns) + "\ncpu0 1 2 3\n")
    return path


def test_other_load_is_that_of_the_machine_minus_this_process(
    clock: Callable[[float], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [1.0]
    monkeypatch.setattr(machine.os, "times", lambda: (own[0], 0.0, 0.0, 0.0, 0.0))
    others = OtherLoad(stat(tmp_path / "stat", user=100))
    clock(10.0)
    own[0] = 9.0
    stat(tmp_path / "stat", user=105, nice=10, idle=900, steal=5)
    assert others.cores() == pytest.approx((20 - 8) / 10)


def test_other_load_is_zero_for_a_process_alone(
    clock: Callable[[float], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = OtherLoad(stat(tmp_path / "stat", user=100))
    monkeypatch.setattr(machine.os, "times", lambda: (10**6, 0.0, 0.0, 0.0, 0.0))  # ticks are coarse
    clock(10.0)
    assert others.cores() == 0.0


def test_other_load_is_none_if_the_system_does_not_report_it(tmp_path: Path) -> None:
    assert OtherLoad(tmp_path / "nothing").cores() is None
    (tmp_path / "stat").write_text("nonsense")
    assert OtherLoad(tmp_path / "stat").cores() is None


@pytest.mark.parametrize(
    ("flags", "processor", "has"),
    [("avx2 fma", "x86_64", False), ("avx512_vnni", "x86_64", True), ("avx_vnni", "x86_64", True), ("", "arm64", True)],
)
def test_vnni_is_read_from_the_flags_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, processor: str, has: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
    monkeypatch.setattr(machine.platform, "machine", lambda: processor)
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / "cpuinfo")
    assert machine.has_vnni() is has
