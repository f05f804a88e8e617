"""Inject faults: kill a command, or make it fail, at its nth durable call or after a number of seconds.

A `Workshop` is a process that has loaded torch (one thread, no autograd run in it) and forks a child for every command,
which is twenty times as fast as starting Python; `fresh=True` starts Python instead. The child runs the command line's
own `main`. Durable calls are counted by replacing the functions that `storage` calls.
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Self

CALLS = ("mkdir", "symlink", "chmod", "replace", "rename", "unlink", "fsync")  # of `os`; and mkstemp, mkdtemp, write


@dataclass(frozen=True)
class Fault:
    """At the `nth` counted call (from 1): a signal by name, or an `OSError` by the name of its number.

    `call` counts one kind of durable call, or the function `module:name`; "*" counts every durable call.
    `lasting` makes every later call fail as well.
    """

    nth: int
    action: str
    call: str = "*"
    lasting: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a command ended. `code` is negative for a signal; `calls` is the count, or None if it was killed."""

    code: int
    seconds: float
    calls: int | None
    output: str


class Hook:
    """Count calls on paths below `root` and inject a fault. `trace` has (call, path, details) of each call."""

    def __init__(self, root: Path, fault: Fault | None = None) -> None:
        self.root = os.path.realpath(root)
        self.fault = fault
        self.count = 0
        self.trace: list[tuple[str, str, Any]] = []

    def hit(self, call: str, path: object, more: Any = None, *, torn: Callable[[], None] | None = None) -> None:
        """Count one call on `path`. `torn` does half of the call before the fault."""
        where = os.path.abspath(os.fspath(path))  # type: ignore[call-overload]
        if not where.startswith(self.root + os.sep):
            return
        self.trace.append((call, where, more))
        if self.fault is None or self.fault.call not in ("*", call):
            return
        self.strike(torn, where)

    def strike(self, torn: Callable[[], None] | None = None, where: str = "") -> None:
        """Count a call, and inject the fault at the nth one."""
        assert self.fault is not None
        self.count += 1
        if self.count != self.fault.nth and not (self.fault.lasting and self.count > self.fault.nth):
            return
        if torn is not None:
            torn()
        if self.fault.action.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, self.fault.action))
        else:
            number = getattr(errno, self.fault.action)
            raise OSError(number, os.strerror(number), where)

    @contextlib.contextmanager
    def installed(self) -> Iterator[Self]:
        """Replace the functions that `storage` calls, within a `with` statement."""
        before = [(owner, name, getattr(owner, name)) for owner, name in self._places()]
        for owner, name, original in before:
            setattr(owner, name, self._wrapped(name, original))
        try:
            yield self
        finally:
            for owner, name, original in before:
                setattr(owner, name, original)

    def _places(self) -> list[tuple[Any, str]]:
        places: list[tuple[Any, str]] = [(os, name) for name in (*CALLS, "fdopen")]
        places += [(tempfile, "mkstemp"), (tempfile, "mkdtemp"), (Path, "open")]
        if self.fault is not None and ":" in self.fault.call:
            module, _, name = self.fault.call.partition(":")
            places.append((import_module(module), name))
        return places

    def _wrapped(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.fault is not None and self.fault.call.endswith(":" + name):
                self.strike()
            elif name in ("mkstemp", "mkdtemp"):
                self.hit(name, Path(kwargs["dir"]) / "new") if kwargs.get("dir") else None
                result = original(*args, **kwargs)
                self.trace.append(("made", os.path.abspath(result[1] if name == "mkstemp" else result), name))
                return result
            elif name == "fsync":
                self.hit(name, os.readlink(f"/proc/self/fd/{args[0]}"))
            elif name == "open" and set(args[1] if len(args) > 1 else kwargs.get("mode", "r")) & set("wa+"):
                return _File(original(*args, **kwargs), args[0], self)
            elif name == "fdopen":
                path = os.readlink(f"/proc/self/fd/{args[0]}")
                return _File(original(*args, **kwargs), path, self)
            elif name in CALLS:
                self.hit(name, args[1] if name in ("symlink", "replace", "rename") else args[0], args)
            return original(*args, **kwargs)

        return call


class _File:
    """A file whose writes are counted; a fault in a write leaves half of its data in the file."""

    def __init__(self, file: Any, path: object, hook: Hook) -> None:
        self._file, self._path, self._hook = file, path, hook

    def write(self, data: bytes) -> int:
        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        place = self._file.tell() if self._file.seekable() else None
        self._hook.hit("write", self._path, (place, bytes(data)), torn=half)
        return int(self._file.write(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Workshop:
    """Run commands in forked children. `environment` is added to this process's environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "200", **environment}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._server = self._start("serve")
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.communicate("")

    def run(
        self,
        *argv: str,
        cwd: Path,
        fault: Fault | None = None,
        send: tuple[tuple[float, str], ...] = (),
        fresh: bool = False,
        patch: Mapping[str, float] | None = None,
    ) -> Outcome:
        """Run `resnetctl ARGV` in `cwd`.

        `send` has pairs of seconds after the last signal and a signal's name; `patch` sets values of `module:name`.
        """
        order = {"argv": argv, "cwd": str(cwd), "send": send, "patch": patch or {}}
        order["fault"] = asdict(fault) if fault is not None else None
        line = json.dumps(order) + "\n"
        if fresh:
            answer, _ = self._start("once").communicate(line)
        else:
            assert self._server is not None
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(line)
            self._server.stdin.flush()
            answer = self._server.stdout.readline()
        return Outcome(**json.loads(answer), output=(cwd / "output.txt").read_text(errors="replace"))

    def _start(self, verb: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, __file__, verb],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
        )


LOADED = ("api", "cli.app", "cli.apps", "cli.screen.live", "tasks.export", "tasks.runs.verify", "tasks.datasets")


def serve() -> None:
    """Load everything once, then fork a child for each order on stdin."""
    import torch

    torch.set_num_threads(1)
    for name in ("torch._dynamo", "torch.optim.swa_utils", "pydantic_settings", "rich.console", "onnx", "onnxruntime"):
        import_module(name)  # else each child would import them; torch's optimizers alone take three seconds
    for name in LOADED:
        import_module(f"resnetctl.{name}")
    for line in sys.stdin:
        print(json.dumps(attend(json.loads(line))), flush=True)


def attend(order: Mapping[str, Any]) -> dict[str, Any]:
    """Fork a child for the order, send its signals, and return the fields of its `Outcome`."""
    reading, writing = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        obey(order, writing)
    os.close(writing)
    status = None
    for pause, name in order["send"]:
        until = time.monotonic() + pause
        while status is None and time.monotonic() < until:
            time.sleep(0.001)
            status = _ended(child)
        if status is None:
            os.kill(child, getattr(signal, name))
    if status is None:
        status = os.waitpid(child, 0)[1]
    with os.fdopen(reading) as pipe:
        count = pipe.read()
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "seconds": time.monotonic() - start, "calls": int(count) if count else None}


def _ended(child: int) -> int | None:
    pid, status = os.waitpid(child, os.WNOHANG)
    return status if pid else None


def obey(order: Mapping[str, Any], writing: int) -> None:
    """Run one command line with its fault in the child, write the count of calls, and exit."""
    os.chdir(order["cwd"])
    handle = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    for place, value in order["patch"].items():
        module, _, name = place.partition(":")
        setattr(import_module(module), name, value)
    fault = Fault(**order["fault"]) if order["fault"] else None
    from resnetctl.__main__ import main

    with Hook(Path.cwd(), fault).installed() as hook:
        code = main(order["argv"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.write(writing, str(hook.count).encode())
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(attend(json.loads(sys.stdin.readline()))), flush=True)
