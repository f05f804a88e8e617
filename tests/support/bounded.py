"""Run a function on many files in one process, and measure the CPU time and the memory of each call."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """
import json, resource, sys, time
from importlib import import_module
from pathlib import Path
sys.path[:] = json.loads(sys.argv[3])
module, _, name = sys.argv[1].partition(":")
call = getattr(import_module(module), name)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2)
for number in range(2):  # the first round loads what the function needs
    for path in [Path(line) for line in json.loads(sys.argv[2])][: None if number else 1]:
        start, before = time.process_time(), peak()
        try:
            call(path)
            outcome = "ok"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        if number:
            print(json.dumps([path.name, outcome, time.process_time() - start, peak() - before]), flush=True)
"""


@dataclass(frozen=True)
class Measured:
    """One call: what came out, its CPU seconds, and by how many MB it raised the process's peak of memory."""

    outcome: str
    seconds: float
    megabytes: int


def measure(target: str, files: list[Path]) -> dict[str, Measured]:
    """Call `target` (`module:function`) with each file, the first one first of all, as a baseline."""
    command = [sys.executable, "-c", PROGRAM, target, json.dumps([str(file) for file in files]), json.dumps(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:] or f"the process ended with {done.returncode}"
    lines = map(json.loads, done.stdout.splitlines())
    return {name: Measured(outcome, seconds, megabytes) for name, outcome, seconds, megabytes in lines}
