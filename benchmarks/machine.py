"""Name the machine, measure its peak rates, and measure the load of other programs. Linux only: it reads /proc."""

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds of the kernel's unit of CPU time
BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: fields of a line of /proc/stat


@dataclass(frozen=True)
class Reading:
    """Clocks at one moment, in seconds: wall, CPU of this process with all its descendants, CPU of the cores."""

    wall: float
    own: float
    busy: float

    def since(self, before: "Reading") -> dict[str, float]:
        """`seconds`, own `cpu` seconds, and `foreign`: cores that others kept busy on average."""
        seconds, own = self.wall - before.wall, self.own - before.own
        return {"seconds": seconds, "cpu": own, "foreign": max(0.0, self.busy - before.busy - own) / seconds}


def read() -> Reading:
    """Read the clocks. The cores are those that this process may run on."""
    return Reading(time.perf_counter(), tree_seconds(os.getpid()), busy_seconds(os.sched_getaffinity(0)))


def busy_seconds(cores: set[int]) -> float:
    """CPU time that `cores` have spent on anything, stolen time included."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            total += sum(int(fields[place]) for place in BUSY)
    return total * TICK


def tree_seconds(root: int) -> float:
    """CPU time of a process, of its living descendants, and of the dead ones that were waited for."""
    parents, spent = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(folder.name)], spent[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent.get(pid, 0) for pid in family) * TICK


def sgemm(size: int = 2048, *, seconds: float = 1.0) -> float:
    """GFLOP/s of the fastest float32 matrix product within `seconds`, on torch's threads."""
    import torch

    first, second = torch.rand(size, size), torch.rand(size, size)
    return 2 * size**3 / _fastest(lambda: torch.mm(first, second), seconds) / 1e9


def copy(megabytes: int = 256, *, seconds: float = 0.5) -> float:
    """GB/s of the fastest copy within `seconds`, bytes read and bytes written both counted."""
    import torch

    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source), seconds) / 1e9


def hardware() -> str:
    """The processor's name and the cores granted."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def versions(*distributions: str) -> str:
    """Return `Python 3.11.7, torch 2.14.1, ...` without packages that are not installed."""
    found = [f"Python {platform.python_version()}"]
    for name in distributions:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _fastest(work: object, seconds: float) -> float:
    assert callable(work)
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        work()
        best = min(best, time.perf_counter() - begun)
    return best
