"""Errors become lines and exit codes in one place."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl import errors
from resnetctl.cli import boundary

Cli = Callable[..., Any]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def work(argv: object) -> None:
        raise error

    monkeypatch.setattr("resnetctl.__main__.carry_out", work)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WorkFailed("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.DataError("x"), 3),
        (errors.WeightsError("x"), 3),
        (errors.PluginError("x"), 4),
        (errors.CheckFailed("x"), 5),
        (errors.Stopped("x", signum=2), 130),
        (errors.Stopped("x", signum=15), 143),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 1),
        (MemoryError(), 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1),
        (ZeroDivisionError("by zero"), 1),
        (SystemExit(0), 0),
    ],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_every_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(boundary, "_discard_stdout", lambda: None)
    failing(monkeypatch, error)
    result = cli("train")
    assert result.code == code
    assert "Traceback" not in result.err
    assert result.out == ""


def test_an_error_shows_problems_where_and_hints_at_80_columns(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    failing(
        monkeypatch,
        errors.ConfigError(
            "the config has unknown keys",
            where="--config my.toml",
            problems=["epoch: unknown key (my.toml:7); did you mean 'epochs'? and more words so that it wraps"],
            hint=["resnetctl config show", "resnetctl train --help-all"],
        ),
    )
    assert cli("train").err.splitlines() == [
        "error: the config has unknown keys",
        "  - epoch: unknown key (my.toml:7); did you mean 'epochs'? and more words so",
        "    that it wraps",
        "  where  --config my.toml",
        "  try    resnetctl config show",
        "         resnetctl train --help-all",
    ]


def test_a_list_of_names_is_wrapped_and_a_command_is_not(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    command = "resnetctl train " + "--set optim.name=sgd " * 4 + "--dry-run"
    failing(monkeypatch, errors.UsageError("no arch", hint=["known: " + ", ".join(["resnet20"] * 12), command]))
    assert cli("train").err.splitlines() == [
        "error: no arch",
        "  try    known: resnet20, resnet20, resnet20, resnet20, resnet20, resnet20,",
        "         resnet20, resnet20, resnet20, resnet20, resnet20, resnet20",
        f"         {command}",
    ]


def test_a_stopped_run_is_not_shown_as_an_error(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    failing(monkeypatch, errors.Stopped("stopped after step 9", signum=2, hint="resnetctl train --resume runs/a"))
    assert cli("train").err.splitlines() == [
        "stopped: stopped after step 9",
        "  try    resnetctl train --resume runs/a",
    ]


def test_an_internal_error_says_how_to_get_the_traceback(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    failing(monkeypatch, ValueError("boom"))
    assert cli("train", "--name", "a b").err.splitlines() == [
        "error: internal error: ValueError: boom",
        "  try    resnetctl --debug train --name 'a b'",
        "         shows the traceback",
    ]
    shown = cli("train", "--debug").err
    assert "Traceback (most recent call last)" in shown
    assert shown.endswith("         shows the traceback\n")


def test_debug_after_two_dashes_is_an_argument(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    failing(monkeypatch, ValueError("boom"))
    assert "Traceback" not in cli("predict", "--", "--debug").err


def test_control_characters_reach_no_terminal(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    failing(monkeypatch, errors.DataError("bad \x1b[2J name", where="\x1b]0;x", hint="\x07"))
    assert not set(cli("train").err) & {"\x1b", "\x07"}


def test_colours_are_used_only_if_the_stream_shows_them(terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.cli.screen import streams

    error = errors.UsageError("x", where="y", hint="z")
    assert "\x1b" not in boundary.render(error)
    monkeypatch.setattr(streams, "has_color", lambda stream: True)
    assert boundary.render(error).startswith("\x1b[31merror:\x1b[0m x\n")


# ---- real streams


def shell(command: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("resnetctl", f"{sys.executable} -m resnetctl")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env={**os.environ}, timeout=60)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["--version", "--help", "plugins list --json"])
def test_a_full_disk_under_stdout_is_exit_1_and_two_lines(command: str) -> None:
    done = shell(f"resnetctl {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the system refused: No space left on device",
        "  try    free some space, then run the command again",
    ]


def test_a_closed_stdout_is_exit_1() -> None:
    done = shell("resnetctl plugins list >&-")
    assert (done.returncode, done.stderr) == (1, "error: the result cannot be written: stdout is closed\n")


def test_a_broken_pipe_is_quiet() -> None:
    slow = "import sys,time; sys.argv=['resnetctl','plugins','list']; time.sleep(0.5)"
    code = f'{sys.executable} -c "{slow}; from resnetctl.__main__ import main; sys.exit(main())" | true'
    done = subprocess.run(
        ["bash", "-c", f"{code}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_unwinds_the_command(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """Half-done work is undone on the way up, as for any exception."""
    from resnetctl.system import storage

    def work(*_: object) -> int:
        with storage.staged_folder(tmp_path / "folder") as folder:
            (folder / "half").write_text("x")
            signal.raise_signal(signum)
        return 0

    before = signal.getsignal(signum)
    monkeypatch.setattr("resnetctl.__main__.carry_out", work)
    result = cli("eval")
    assert result.code == code
    assert result.err == f"stopped: {signum.name} received; nothing is left half-written\n"
    assert list(tmp_path.glob("folder")) + list(tmp_path.glob(".tmp-*")) == []
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize(
    "disguise", [ValueError, errors.PluginError, OSError, BrokenPipeError], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_counts_even_if_a_library_turns_it_into_its_own_error(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, signum: signal.Signals, code: int, disguise: type[Exception]
) -> None:
    """pydantic, for example, turns any exception into a SchemaError while it builds a schema."""

    def work(*_: object) -> int:
        try:
            signal.raise_signal(signum)
        except BaseException as error:
            raise disguise(f"building it: {type(error).__name__}") from None
        return 0

    monkeypatch.setattr("resnetctl.__main__.carry_out", work)
    result = cli("eval")
    assert (result.code, result.err) == (code, f"stopped: {signum.name} received; nothing is left half-written\n")
