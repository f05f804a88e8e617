"""The resources of this machine: cores, processor, memory, and the load of other processes. Imports no torch."""

import contextlib
import ctypes
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MMAP_THRESHOLD, TRIM_THRESHOLD = (-3, 32 << 20), (-1, 64 << 20)  # parameter of mallopt(3), bytes
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")  # in /proc/cpuinfo, fastest first; the last one is Arm's
VNNI_FLAGS = ("avx512_vnni", "avx_vnni")  # of x86
ARM = ("aarch64", "arm64")  # their 8-bit products do not overflow
OTHER_FILES = 256  # that a process may have open besides shards
PROC = Path("/proc/self")
STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6, 7)  # columns of /proc/stat: user, nice, system, irq, softirq, steal; guests are inside user


def cores_granted() -> int:
    """Return the number of cores that this process may use, from its affinity and its cgroup quota.

    A quota such as 1.5 is rounded half up, because a second thread on half a core gains more than it costs.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return affinity if quota is None else max(1, min(affinity, int(quota + 0.5)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the smallest quota, in cores, of this process's cgroup (v1 or v2) and its parents; None: no limit.

    `root` is the folder with `proc` and the mounts of the controllers.
    """
    return min((quota for folder in _cgroups(root) if (quota := _quota(folder)) is not None), default=None)


def processor() -> str:
    """Return the name of the processor, or its architecture if the name is unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def bf16_instructions() -> str:
    """Return the flag of the processor's bf16 instructions, such as `amx_bf16`; empty without, or where it is unknown.

    It is unknown on systems without `/proc/cpuinfo`.
    """
    flags = Path("/proc/cpuinfo")
    found = set(flags.read_text().split()) if flags.exists() else set()
    return next((flag for flag in BF16_FLAGS if flag in found), "")


def has_vnni() -> bool:
    """Return whether products of 8-bit integers do not overflow in between: x86 with VNNI, or Arm."""
    flags = Path("/proc/cpuinfo")
    return platform.machine() in ARM or (flags.exists() and any(flag in flags.read_text() for flag in VNNI_FLAGS))


def keep_freed_memory() -> bool:
    """Make glibc keep the memory that a training step frees for the next step. Return whether it does.

    With its default limits, glibc returns freed memory to the system after each step, and the system zeroes the same
    pages again for the next one. The two limits set here are those that glibc reaches by itself after it has freed an
    allocation of 32 MB. Limits that the user set stay. Other C libraries stay unchanged.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.gnu_get_libc_version and libc.mallopt(*MMAP_THRESHOLD) and libc.mallopt(*TRIM_THRESHOLD))
    except (AttributeError, OSError, TypeError):  # another C library, or none that can be loaded
        return False


def allow_open_files(count: int) -> None:
    """Let this process open `count` files besides others, as far as the system allows it.

    Systems allow 256 or 1,024 by default, and more to a process that asks.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES if hard == resource.RLIM_INFINITY else min(hard, count + OTHER_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class PeakMemory:
    """Measures the peak memory of this process from now on, without mapped files such as the store.

    It works on Linux only: other systems do not report mapped pages separately.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        with contextlib.suppress(OSError):
            (proc / "clear_refs").write_text("5")  # resets the peak to the present value
        self._then = self._status()

    def grown(self) -> int | None:
        """Return the peak minus the memory at the start, in bytes; None if the system does not report it."""
        then, now = self._then, self._status()
        if then is None or now is None:
            return None
        return max(0, now["VmHWM"] - then["VmRSS"] - max(0, now["RssFile"] - then["RssFile"]))

    def highest(self) -> int | None:
        """Return the peak of the process in bytes, without mapped files; None if the system does not report it."""
        now = self._status()
        return None if now is None else max(0, now["VmHWM"] - now["RssFile"])

    def _status(self) -> dict[str, int] | None:
        try:
            lines = (line.split() for line in (self._proc / "status").read_text().splitlines())
            sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}
        except (OSError, ValueError):
            return None
        return sizes if {"VmHWM", "VmRSS", "RssFile"} <= sizes.keys() else None


class OtherLoad:
    """Measures how many cores other processes use from now on."""

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._began = self._now()

    def cores(self) -> float | None:
        """Return the mean number of cores since the start; None if the system does not report it."""
        then, now = self._began, self._now()
        if then is None or now is None or now[0] <= then[0]:
            return None
        wall, machine, own = (new - old for new, old in zip(now, then, strict=True))
        return max(0.0, (machine - own) / wall)

    def _now(self) -> tuple[float, float, float] | None:
        """Return wall seconds, CPU seconds of the machine, and CPU seconds of this process and its ended children."""
        try:
            columns = self._stat.read_text().split("\n", 1)[0].split()[1:]
            machine = sum(int(columns[place]) for place in BUSY) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
        return time.monotonic(), machine, sum(os.times()[:4])


def _cgroups(root: Path) -> Iterator[Path]:
    """Yield the folders that may limit the CPU: the process's own cgroup, then its parents up to the mount point."""
    try:
        groups = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup")]
        mounts = _lines(root / "proc/self/mountinfo")
    except OSError:  # not Linux
        return
    for mount in mounts:
        mounting, _, kind = mount.partition(" - ")
        version, _, rest = kind.partition(" ")
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(version)
        if controller is None or controller not in ("", *rest.rpartition(" ")[2].split(",")):
            continue
        above, point = mounting.split(" ")[3:5]
        own = next((path for _, names, path in groups if controller in names.split(",")), above)
        # a container may see its own cgroup as the root of the mount, or of its namespace
        inside = PurePosixPath(own).relative_to(above) if PurePosixPath(own).is_relative_to(above) else PurePosixPath()
        mounted = root / point.lstrip("/")
        yield from (mounted / part for part in (inside, *inside.parents))


def _lines(file: Path) -> list[str]:
    """Return the lines of a kernel file. Its mount names may have any bytes."""
    return [line for line in file.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if line]


def _quota(folder: Path) -> float | None:
    """Return the quota of one cgroup, in cores; None: no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such controller here; v2 writes "max" for no limit, v1 -1
        return None
