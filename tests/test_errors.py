"""Errors have exit codes, places and hints, which scripts and the command line use."""

import inspect

import pytest

from resnetctl import errors
from resnetctl.errors import InputError, ResnetctlError, Stopped
from resnetctl.hints import Call, Setting

CODES = {
    "ResnetctlError": 1,
    "WorkFailed": 1,
    "NonFinite": 1,
    "PeerFailed": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "InputError": 3,
    "DataError": 3,
    "WeightsError": 3,
    "PluginError": 4,
    "CheckFailed": 5,
}


def test_every_error_has_its_exit_code() -> None:
    kinds = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ResnetctlError) and kind is not Stopped
    }
    assert {name: kind("x").exit_code for name, kind in kinds.items()} == CODES


def test_the_module_docstring_lists_every_error_with_its_code() -> None:
    for name, code in CODES.items():
        line = next(line for line in (errors.__doc__ or "").splitlines() if f" {name} " in f" {line} ")
        assert line.split(name)[1].split()[0] == str(code)


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_stopped_takes_its_code_from_the_signal(signum: int, code: int) -> None:
    assert Stopped("stopped", signum=signum).exit_code == code


def test_an_error_has_message_place_hint_and_problems() -> None:
    error = ResnetctlError("it broke", where="a.toml:3", hint="do this", problems=["one", "two"])
    assert (error.message, error.where, error.hint, error.problems) == (
        "it broke",
        "a.toml:3",
        ("do this",),
        ("one", "two"),
    )
    assert error.headline == "it broke (a.toml:3)"
    assert error.args == ("it broke",)


def test_attributes_without_a_value_are_empty() -> None:
    error = ResnetctlError("it broke")
    assert (error.where, error.hint, error.problems, str(error)) == (None, (), (), "it broke")
    assert ResnetctlError("x", hint=["a", "b"]).hint == ("a", "b")


def test_str_lists_problems_and_hints_as_python_calls() -> None:
    error = ResnetctlError(
        "it broke", where=Setting("lr"), hint=[Setting("lr", 0.01), Call("eval", ("last",))], problems=["one", "two"]
    )
    assert str(error).splitlines() == [
        "it broke (lr)",
        "  - one",
        "  - two",
        "  try  lr=0.01",
        "       rc.evaluate('last')",
    ]


def test_the_line_for_a_script_names_shell_commands() -> None:
    error = InputError("no file", where="a.onnx", hint=[Call("runs list"), Call("export", ("r",), {"onnx": True})])
    assert error.shell_line() == "no file (a.onnx); try resnetctl runs list; or resnetctl export r --onnx"
    assert InputError("gone", problems=["a\nb"]).shell_line() == "gone; a b"


def test_a_lack_of_memory_is_told_from_other_errors() -> None:
    assert errors.is_out_of_memory(MemoryError())
    assert errors.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not errors.is_out_of_memory(RuntimeError("shape mismatch"))
