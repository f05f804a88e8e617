"""The one place where an exception becomes lines on stderr and an exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from resnetctl.cli.screen import hints
from resnetctl.cli.screen import streams as out
from resnetctl.errors import ResnetctlError, Stopped, WorkFailed

BROKEN_PIPE = 141


class Terminated(BaseException):
    """SIGTERM came. As KeyboardInterrupt, it undoes what is half-done on its way up. Training takes signals itself."""


class Signals:
    """SIGINT and SIGTERM end the command by an exception.

    `came` is the first one that did. Libraries turn the exception into one of their own (pydantic's schemas, a guarded
    import), so that whatever leaves the command after a signal is that signal's doing.
    """

    def __init__(self) -> None:
        self.came: signal.Signals | None = None

    def unwind(self, signum: signal.Signals) -> None:
        """The handler."""
        self.came = signum
        raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt


def run(argv: Sequence[str]) -> int:
    """Carry out one command line and return its exit code."""
    words = argv[: argv.index("--")] if "--" in argv else argv
    debug = "--debug" in words
    from resnetctl.system.signals import on_stop

    signals = Signals()
    try:
        with on_stop(signals.unwind):
            return _guarded(argv)
    except (KeyboardInterrupt, Terminated, Exception) as error:
        came = signals.came or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
        if isinstance(error, BrokenPipeError) and came is None:
            _discard_stdout()
            return BROKEN_PIPE
        _trace(debug)
        if came is not None and not isinstance(error, Stopped):
            out.say(f"stopped: {came.name} came; nothing is left half-written")
            return 128 + came
        if isinstance(error, ResnetctlError):
            out.say(render(error))
            return error.exit_code
        out.say(_internal(error, argv))
        return 1


def render(error: ResnetctlError) -> str:
    """An error in three parts, as wide as the terminal: what, where, what to do."""
    title = "stopped" if isinstance(error, Stopped) else "error"
    head = out.paint(f"{title}:", "yellow" if isinstance(error, Stopped) else "red", stream=sys.stderr)
    lines = out.folded(f"{title}: {error.message}")
    lines[0] = head + lines[0].removeprefix(f"{title}:")
    for problem in error.problems:
        lines += out.folded(f"  - {problem}", "    ")
    if error.where is not None:
        place = hints.in_shell(error.where)
        lines.append(f"  {out.paint('where', 'dim', stream=sys.stderr)}  {out.printable(place)}")
    for number, hint in enumerate(map(hints.in_shell, error.hint)):
        mark = out.paint("try", "dim", stream=sys.stderr) + "    " if number == 0 else " " * 7
        first, *rest = out.folded(f"{' ' * 9}{hint}", " " * 9) if hint.startswith("known: ") else [hint]
        lines += [f"  {mark}{out.printable(first.lstrip())}", *rest]  # what can be pasted is never broken
    return "\n".join(lines)


def _guarded(argv: Sequence[str]) -> int:
    """Run, flush stdout, and turn the system's refusals into our errors."""
    with _system_errors():
        try:
            code = _carried_out(argv)
        except SystemExit as stop:  # completion scripts end so
            code = int(stop.code or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code


def _carried_out(argv: Sequence[str]) -> int:
    from resnetctl.cli.app import ROOT
    from resnetctl.cli.screen.help import asked

    screen = asked(ROOT, argv)
    if screen is not None:
        out.result(screen)
        return 0
    from resnetctl.cli.parser._typer import invoke

    return invoke(ROOT, argv)


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
    except MemoryError as error:
        raise WorkFailed("there is not enough memory", hint="--batch-size with a smaller value") from error


def _discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush finds nothing to complain about."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, sys.stdout.fileno())
        os.close(handle)


def _trace(debug: bool) -> None:
    if debug:
        import traceback

        out.say(traceback.format_exc().rstrip())


def _internal(error: BaseException, argv: Sequence[str]) -> str:
    import shlex

    command = f"resnetctl --debug {shlex.join(word for word in argv if word != '--debug')}"
    message = f"internal error: {type(error).__name__}: {error}"
    return render(WorkFailed(message, hint=[command, "shows the traceback"]))
