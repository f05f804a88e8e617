"""Import plugins in another process and return the effects: errors, output, changes of torch, the process's end.

The child takes the entries in order and writes one line of JSON for each. If it ends early, the first entry without a
line ended it, and a new child takes the rest. A new child also starts after an entry that changed torch. Kinds whose
modules must be torch-free come first, while torch is not loaded: whether they load it is one of the facts.
"""

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from resnetctl.errors import ResnetctlError
from resnetctl.hints import in_python
from resnetctl.registry.kinds import KINDS
from resnetctl.registry.loading import get
from resnetctl.registry.metadata import Entry
from resnetctl.spec import Arch

SECONDS = 60  # limit of one process, plus 2 s for each entry; importing torch alone takes a few seconds
LINES = 3  # lines of printed output to keep
COMMAND = "from resnetctl.registry.probe import child; child()"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The effects of importing one entry.

    Attributes:
        error: why the entry cannot be used; empty if it can.
        remedy: advice for the error, if there is any.
        own_name: the object's `name`; empty if it has none.
        block: the name of an arch's block, which is not imported.
        printed: the first lines that the import wrote to stdout or stderr.
        patched: names in torch that the import replaced, e.g. `torch.nn.Linear.forward`.
        loads_torch: whether the import loaded torch; known only for kinds that must be torch-free.
    """

    entry: Entry
    error: str = ""
    remedy: str = ""
    own_name: str = ""
    block: str = ""
    printed: str = ""
    patched: tuple[str, ...] = ()
    loads_torch: bool = False


def probe(entries: Sequence[Entry]) -> dict[Entry, Probe]:
    """Import entries in other processes and return a probe for each. It has the entry's error: nothing is raised."""
    probes: dict[Entry, Probe] = {}
    waiting = sorted(entries, key=lambda entry: not KINDS[entry.kind].torch_free)
    while waiting:
        done = _round(waiting)
        probes |= {one.entry: one for one in done}
        waiting = waiting[len(done) :]
    return probes


def child() -> None:
    """Run the child process: read the request, import each entry, write an answer for each.

    Stop early if an import changed torch, or loaded it before a kind that must be torch-free: the answers after that
    would be wrong.
    """
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    with Path(request["answers"]).open("a", encoding="utf-8") as answers:
        for number, values in enumerate(request["entries"]):
            facts = _facts(Entry(**values), Path(request["printed"]))
            answers.write(json.dumps(facts) + "\n")
            answers.flush()
            following = [KINDS[entry["kind"]] for entry in request["entries"][number + 1 : number + 2]]
            if facts["patched"] or ("torch" in sys.modules and any(row.torch_free for row in following)):
                break


def fingerprint() -> dict[str, Any]:
    """Return everything that a plugin must not change: functions, classes and methods of torch, and its settings."""
    import torch

    with contextlib.suppress(Exception):  # a torchvision that does not match torch is no plugin's fault
        import torchvision  # noqa: F401  it makes torch load, and wrap, parts of itself

    owners: dict[str, Any] = {"torch": torch, "torch.Tensor": torch.Tensor, "torch.nn.functional": torch.nn.functional}
    owners |= {"torch.nn": torch.nn, "torch.optim": torch.optim, "torch.nn.init": torch.nn.init}
    for module in (torch.nn, torch.optim):
        kinds = ((name, value) for name, value in vars(module).items() if isinstance(value, type))
        owners |= {f"{module.__name__}.{name}": value for name, value in kinds}
    members = {f"{path}.{name}": value for path, owner in owners.items() for name, value in _members(owner)}
    return members | {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": str(torch.get_default_device()),
        "torch's number of threads": torch.get_num_threads(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's random state": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that were replaced or removed between two fingerprints, except by torch itself."""
    return tuple(
        name
        for name, value in before.items()
        if not _same(value, after.get(name)) and not _is_of_torch(after.get(name))
    )


def _round(entries: Sequence[Entry]) -> list[Probe]:
    """Import entries in one process and return the probes of the first ones, at least of one.

    If the process ends early, its end is the error of the first entry without an answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers, printed = Path(folder, "answers"), Path(folder, "printed")
        answers.touch()
        request = {
            "path": [place or "." for place in sys.path],
            "entries": [vars(entry) for entry in entries],
            "answers": str(answers),
            "printed": str(printed),
        }
        with printed.open("wb") as output:
            end = _run(json.dumps(request), output, limit=SECONDS + 2.0 * len(entries))
        lines = answers.read_text(encoding="utf-8").splitlines()
        done = [Probe(entry=entry, **_checked(line)) for entry, line in zip(entries, lines, strict=False)]
        if not done and not end:  # the child stops early only after an answer
            end = "ended the process with exit code 0"
        if end:
            culprit = entries[min(len(done), len(entries) - 1)]
            text = printed.read_text(encoding="utf-8", errors="replace")
            done = [*done[: len(entries) - 1], Probe(entry=culprit, error=f"importing it {end}", printed=_short(text))]
        return done


def _run(request: str, output: Any, *, limit: float) -> str:
    """Run the child. Return how it failed, "" if it did not."""
    command = [sys.executable, "-c", COMMAND]
    try:
        code = subprocess.run(command, input=request, stdout=output, stderr=output, text=True, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return f"takes more than {limit:.0f} s"
    if code < 0:
        return f"ended the process with {signal.Signals(-code).name}"
    return f"ended the process with exit code {code}" if code else ""


def _facts(entry: Entry, printed: Path) -> dict[str, Any]:
    """Import one entry and return the effects, from a comparison of before and after."""
    torch_free = KINDS[entry.kind].torch_free
    before = {} if torch_free else fingerprint()
    start, had_torch = printed.stat().st_size, "torch" in sys.modules
    error = remedy = own_name = block = ""
    try:
        value = get(entry.kind, f"{entry.distribution}:{entry.name}")
        own_name = str(getattr(getattr(value, "card", value), "name", ""))
        block = value.block if isinstance(value, Arch) else ""
    except ResnetctlError as caught:
        error, remedy = caught.headline, in_python(caught.hint[0]) if caught.hint else ""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    text = printed.read_bytes()[start:].decode("utf-8", errors="replace")
    loads_torch = not had_torch and torch_free and "torch" in sys.modules
    patched = changes(before, fingerprint()) if before else ()
    return {
        "error": error,
        "remedy": remedy,
        "own_name": own_name,
        "block": block,
        "printed": _short(text),
        "patched": patched,
        "loads_torch": loads_torch,
    }


def _checked(line: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(line)
    return values | {"patched": tuple(values["patched"])}


def _members(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield public members and operators. Imports add modules, and private names are torch's own caches."""
    for name, value in vars(owner).items():
        operator = isinstance(owner, type) and name.startswith("__") and callable(value)
        if (operator or not name.startswith("_")) and not isinstance(value, ModuleType):
            yield name, value


def _same(one: Any, two: Any) -> bool:
    return one is two or (isinstance(one, int | float | str) and one == two)


def _is_of_torch(value: Any) -> bool:
    """Return whether a function's code is in torch's folder; its `__module__` can be copied from another function."""
    import torch

    source = getattr(getattr(value, "__code__", None), "co_filename", "")
    return Path(str(torch.__file__)).parent in Path(source).parents


def _short(text: str) -> str:
    return "\n".join(text.strip().splitlines()[:LINES])
