"""Turn an error into lines on stderr and an exit code. No other module does."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

from resnetctl.cli.screen import shell_hints, streams
from resnetctl.errors import ResnetctlError, Stopped, WorkFailed, is_out_of_memory
from resnetctl.system.signals import Terminated

BROKEN_PIPE = 141
Result = TypeVar("Result")
_is_inside: ContextVar[bool] = ContextVar("inside the boundary", default=False)


class Signals:
    """SIGINT and SIGTERM end the command by an exception; `received` is that signal.

    Libraries turn this exception into one of their own (pydantic while it builds a schema, a guarded import). So any
    exception that leaves the command after a signal counts as that signal.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def unwind(self, signum: signal.Signals) -> None:
        """Handle a signal: raise the exception that unwinds the command."""
        self.received = signum
        raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt


def exit_code(work: Callable[[], object], argv: Sequence[str]) -> int:
    """Run the work of a command line and return its exit code. An error becomes lines on stderr."""
    words = argv[: argv.index("--")] if "--" in argv else argv
    from resnetctl.system.signals import on_stop

    signals = Signals()
    try:
        with on_stop(signals.unwind), raising():
            return _guarded(work)
    except (KeyboardInterrupt, Terminated, Exception) as error:
        received = signals.received or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
        return _report(error, received=received, argv=argv, debug="--debug" in words)


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Make commands raise their errors, so that the caller that entered this context reports them."""
    token = _is_inside.set(True)
    try:
        yield
    finally:
        _is_inside.reset(token)


def within(work: Callable[[], Result]) -> Result:
    """Return the result of `work`, a part of a command that Typer runs.

    Inside another Typer app, report an error here and raise Typer's `Exit` with our exit code.
    """
    if _is_inside.get():
        return work()
    results: list[Result] = []
    code = exit_code(lambda: results.append(work()), sys.argv[1:])
    if not results:
        from typer import Exit

        raise Exit(code)
    return results[0]


def _report(error: BaseException, *, received: signal.Signals | None, argv: Sequence[str], debug: bool) -> int:
    """Write an error to stderr and return the exit code; `received` is the signal that stopped the command."""
    if isinstance(error, BrokenPipeError) and received is None:
        _discard_stdout()
        return BROKEN_PIPE
    _trace(debug)
    if received is not None and not isinstance(error, Stopped):
        streams.say(f"stopped: {received.name} received; nothing is left half-written")
        return 128 + received
    if isinstance(error, ResnetctlError):
        streams.say(render(error))
        return error.exit_code
    streams.say(_internal(error, argv))
    return 1


def render(error: ResnetctlError) -> str:
    """Return the lines of an error: what happened, where, what to do."""
    title = "stopped" if isinstance(error, Stopped) else "error"
    head = streams.paint(f"{title}:", "yellow" if isinstance(error, Stopped) else "red", stream=sys.stderr)
    lines = streams.folded(f"{title}: {error.message}")
    lines[0] = head + lines[0].removeprefix(f"{title}:")
    for problem in error.problems:
        lines += streams.folded(f"  - {problem}", "    ")
    if error.where is not None:
        place = shell_hints.in_shell(error.where)
        lines.append(f"  {streams.paint('where', 'dim', stream=sys.stderr)}  {streams.one_line(place)}")
    for number, hint in enumerate(map(shell_hints.in_shell, error.hint)):
        mark = streams.paint("try", "dim", stream=sys.stderr) + "    " if number == 0 else " " * 7
        first, *rest = streams.folded(f"{' ' * 9}{hint}", " " * 9) if hint.startswith("known: ") else [hint]
        lines += [f"  {mark}{streams.one_line(first.lstrip())}", *rest]  # lines to paste are never wrapped
    return "\n".join(lines)


def _guarded(work: Callable[[], object]) -> int:
    """Run the work and flush stdout; turn errors of the system into ours."""
    with _system_errors():
        code = _code_of(work)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code


def _code_of(work: Callable[[], object]) -> int:
    """Run the work and return its exit code: its result, or the code of Typer's `Exit` or of `SystemExit`."""
    try:
        code = work()
    except SystemExit as stop:
        if isinstance(stop.code, str):  # `sys.exit("why")` of a plugin's command
            streams.say(stop.code)
            return 1
        return stop.code or 0
    except Exception as error:
        if isinstance(error, getattr(sys.modules.get("typer"), "Exit", ())):
            return int(error.exit_code)  # type: ignore[attr-defined]
        raise
    return code if isinstance(code, int) else 0


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_stdout()
        hint = "free some space, then run the command again" if error.errno in (28, 122) else ()  # ENOSPC, EDQUOT
        where = str(error.filename) if error.filename else None
        raise WorkFailed(f"the system refused: {error.strerror or error}", where=where, hint=hint) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise WorkFailed(
            "there is not enough memory", hint="a smaller network, smaller images or more memory"
        ) from error


def _discard_stdout() -> None:
    """Point stdout at the null device, so that the last flush of the interpreter cannot fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, sys.stdout.fileno())
        os.close(handle)


def _trace(debug: bool) -> None:
    if debug:
        import traceback

        streams.say(traceback.format_exc().rstrip())


def _internal(error: BaseException, argv: Sequence[str]) -> str:
    import shlex

    command = f"resnetctl --debug {shlex.join(word for word in argv if word != '--debug')}"
    message = f"internal error: {type(error).__name__}: {error}"
    return render(WorkFailed(message, hint=[command, "shows the traceback"]))
