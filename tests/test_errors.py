"""Errors have exit codes, places and hints, which scripts and the command line use."""

import importlib
import inspect
import sys
from pathlib import Path

import pytest

from resnetctl import errors
from resnetctl.errors import InputError, Interrupted, ResnetctlError, Stopped, line_of_caller, own_line
from resnetctl.hints import Call, Setting

BROKEN = "def fail():\n    raise ValueError('seven')\n\n\ndef seen(find):\n    return find()\n"
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


@pytest.mark.parametrize(
    ("file", "module", "place"),
    [
        ("alone_in_a_folder.py", "alone_in_a_folder", "alone_in_a_folder.py"),
        ("outer_package/blocks.py", "outer_package.blocks", "outer_package/blocks.py"),
        ("outer_package/inner/blocks.py", "outer_package.inner.blocks", "outer_package/inner/blocks.py"),
    ],
)
def test_a_line_in_foreign_code_has_the_path_inside_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, module: str, place: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BROKEN)
    for folder in path.relative_to(tmp_path).parents:
        if folder != Path():
            (tmp_path / folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    broken = importlib.import_module(module)
    with pytest.raises(ValueError, match="seven") as caught:
        broken.fail()
    line = broken.seen(lambda: line_of_caller(sys._getframe(1), until=""))
    for name in [name for name in sys.modules if name.startswith(module.partition(".")[0])]:
        sys.modules.pop(name)
    assert own_line(caught.value) == f"{place}:2"
    assert line == f"{place}:6"


def test_a_wrong_syntax_has_the_path_inside_its_package(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "blocks.py").write_text("x = 1\nx = = 2\n")
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\nx = = 2\n", str(tmp_path / "package" / "blocks.py"), "exec")
    assert own_line(caught.value) == "package/blocks.py:2"


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
    near = InputError("gone", hint=["did you mean 'a'?", Call("runs list")])
    assert near.shell_line() == "gone; did you mean 'a'?; try resnetctl runs list"


def test_what_ctrl_c_stopped_has_the_line_and_the_code_of_the_command() -> None:
    error = Interrupted("stopped after epoch 3\n  try  rc.resume('runs/a')")
    assert error.shell_line() == "stopped after epoch 3 try rc.resume('runs/a')"
    assert error.exit_code == 130


def test_a_lack_of_memory_is_told_from_other_errors() -> None:
    assert errors.is_out_of_memory(MemoryError())
    assert errors.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not errors.is_out_of_memory(RuntimeError("shape mismatch"))
