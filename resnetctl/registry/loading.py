"""Import the one object behind a name, check its shape, and name the plugin in every error."""

import contextlib
import io
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, overload

from resnetctl.errors import PluginError, ResnetctlError, is_out_of_memory, own_line
from resnetctl.hints import Call
from resnetctl.registry.code import forget_code
from resnetctl.registry.index import distribution_of, find, overlaid, owned, read_entries
from resnetctl.registry.kinds import KINDS, Kind, resolve
from resnetctl.registry.metadata import Entry
from resnetctl.registry.remedies import import_remedy
from resnetctl.spec import Arch, Dataset, Policy
from resnetctl.system.signals import Interruption, stop_later

IMPORT_FAILED = "cannot be imported"


@overload
def get(kind: Literal["arch"], name: str) -> Arch: ...
@overload
def get(kind: Literal["policy"], name: str) -> Policy: ...
@overload
def get(kind: Literal["dataset"], name: str) -> Dataset: ...
@overload
def get(kind: Kind, name: str) -> Any: ...
def get(kind: Kind, name: str) -> Any:
    """Return the object behind `name`, imported and checked.

    Raises:
        UsageError: there is no such name.
        PluginError: the name is ambiguous, disabled or stale, or the object is broken.
    """
    value = overlaid(kind, name)
    if value is not None:
        return value
    entry = find(kind, name)
    value = _load(entry)
    return owned(value, [entry.distribution]) if isinstance(value, Arch) else value


def refresh() -> None:
    """Clear the caches of entries and objects, e.g. after a plugin was installed into this process's environment."""
    read_entries.cache_clear()
    _load.cache_clear()
    forget_code()


@contextlib.contextmanager
def guarded(kind: Kind, name: str) -> Iterator[None]:
    """Re-raise a plugin's exception as a `PluginError` that names the plugin and the line in its own code.

    Errors of resnetctl, signals, out-of-memory errors, and all exceptions of built-in objects pass through.
    `SystemExit` does not: a plugin may not end the process.
    """
    if not distribution_of(kind, name):
        yield
        return
    try:
        yield
    except BaseException as error:
        if passes(error):
            raise
        raise failure(kind, name, error=error) from error


def passes(error: BaseException) -> bool:
    """Return whether an exception inside a plugin's code is not the plugin's: ours, a signal, or out of memory."""
    return isinstance(error, ResnetctlError | KeyboardInterrupt | Interruption) or is_out_of_memory(error)


def failure(kind: Kind, name: str, *, error: BaseException) -> PluginError:
    """Return the error for an exception of the plugin behind `name`, with the line in its own code."""
    text = (str(error).strip() or "no message").splitlines()[0]
    return fault(kind, name, problem=f"{type(error).__name__}: {text}", line=own_line(error))


def fault(kind: Kind, name: str, *, problem: str, line: str = "") -> PluginError:
    """Return an error that names the plugin behind `name`; `line` in its code is e.g. `mine/blocks.py:57`."""
    entry = find(kind, name)
    return PluginError(
        f"{kind} '{entry.name}' of {entry.distribution} {entry.version}: {problem}",
        where=line or entry.value,
        hint=Call("plugins check", (f"{entry.distribution}:{entry.name}",)),
    )


class _Plain(io.TextIOBase):
    """Writes to stderr, with `?` for characters that could control a terminal."""

    def write(self, text: str) -> int:
        return sys.stderr.write("".join(char if char.isprintable() or char in "\n\t" else "?" for char in text))


@cache
def _load(entry: Entry) -> Any:
    with stop_later():  # a Ctrl-C waits for the end, so an interrupt in the meantime is the module's own
        try:
            with contextlib.redirect_stdout(_Plain()):  # stdout belongs to results
                value = resolve(entry.value)
        except BaseException as error:  # a module may raise anything while it loads, SystemExit included
            raise PluginError(
                f"{entry.kind} '{entry.name}' of {entry.distribution} {entry.version} {IMPORT_FAILED}: "
                f"{type(error).__name__}: {getattr(error, 'msg', '') or error}".rstrip(": "),
                where=own_line(error) or entry.value,
                hint=import_remedy(entry, error),
            ) from error
    complaint = KINDS[entry.kind].check(value)
    if complaint:
        raise PluginError(
            f"{entry.kind} '{entry.name}' of {entry.distribution} {entry.version} {complaint}",
            where=entry.value,
            hint=Call("plugins check", (entry.distribution,)),
        )
    return value
