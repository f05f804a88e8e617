"""`get` imports one object, and every error names the plugin."""

import sys
from collections.abc import Callable

import pytest
import torch

import resnetctl
from resnetctl import registry
from resnetctl.errors import DataError, PluginError
from resnetctl.hints import Call
from resnetctl.registry import entries, find, get, names
from resnetctl.spec import Arch

Install = Callable[..., None]
GOOD = "from resnetctl.spec import Arch\nnet = Arch(name='net', block='basic', depths=(1,), widths=(8,))\n"


def test_built_ins_are_entries_of_the_registry() -> None:
    assert {entry.distribution for entry in entries("block")} >= {"resnetctl"}
    assert {"basic", "bottleneck"} <= set(names("block"))
    assert get("arch", "resnet20").name == "resnet20"
    assert find("arch", "resnetctl:resnet20").version == resnetctl.__version__


def test_get_imports_exactly_one_module(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net", "other": "plug_b:net"})
    arch = get("arch", "net")
    assert isinstance(arch, Arch)
    assert get("arch", "my_nets:net") is arch
    assert "plug_a" in sys.modules
    assert "plug_b" not in sys.modules
    assert registry.distribution_of("arch", "net") == {"my-nets": "1.2"}
    assert registry.distribution_of("arch", "resnet20") == {}


def test_output_of_a_plugin_goes_to_stderr_without_control_characters(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("loud", {"net": "plug_loud:net"}, code="print('hello \\x1b[31m')\n" + GOOD)
    get("arch", "net")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello ?[31m\n")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt"),
        ("def net(:", "SyntaxError"),
        ("other = 1", "AttributeError"),
        ("net = 7", "must be a resnetctl.spec.Arch, not int"),
    ],
)
def test_a_broken_plugin_is_one_error_that_names_its_distribution(install: Install, code: str, text: str) -> None:
    install("bad-nets", {"net": "plug_bad:net"}, code=code)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert text in str(caught.value)
    assert "bad-nets 1.2" in str(caught.value)
    assert caught.value.hint


def test_an_overlay_ends_with_its_with_statement() -> None:
    arch = Arch(name="mine", block="basic", depths=(1,), widths=(4,))
    with registry.overlay("arch", mine=arch):
        assert get("arch", "mine") is arch
        assert "mine" in names("arch")
        assert registry.distribution_of("arch", "mine") == {}
    assert "mine" not in names("arch")


def test_overlays_nest() -> None:
    outer, inner = (Arch(name=name, block="basic", depths=(1,), widths=(4,)) for name in ("outer", "inner"))
    with registry.overlay("arch", mine=outer):
        with registry.overlay("arch", mine=inner):
            assert get("arch", "mine") is inner
        assert get("arch", "mine") is outer
    assert "mine" not in names("arch")


@pytest.mark.parametrize(
    ("value", "code", "hint"),
    [
        ("plug_needs:net", "import no_such_thing.inside", "bad needs the module 'no_such_thing'"),
        ("plug_typo.inside:net", GOOD, "its entry point names plug_typo.inside:net"),
        ("plug_lacks:nte", GOOD, "its entry point names plug_lacks:nte"),
        ("plug_fails:net", "1 / 0", "pip install --upgrade bad"),
        ("plug_base:net", "raise BaseException('odd')", "pip install --upgrade bad"),
    ],
)
def test_an_import_error_has_a_remedy(install: Install, value: str, code: str, hint: str) -> None:
    install("bad", {"net": value.replace(".inside", "")}, code=code)
    install("again", {"net2": value}, code=None)
    with pytest.raises(PluginError, match="cannot be imported") as caught:
        get("arch", "net2")
    assert caught.value.hint[0].startswith(hint.replace("bad", "again"))


def fails(error: BaseException) -> None:
    """Raise `error` from a line of this module, as a plugin would from its own."""
    raise error


def test_guarded_names_the_plugin_and_the_line_in_its_code(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"})
    line = fails.__code__.co_firstlineno + 2
    with pytest.raises(PluginError) as caught, registry.guarded("arch", "net"):
        fails(ValueError("boom\nand more"))
    assert caught.value.message == "arch 'net' of my-nets 1.2: ValueError: boom"
    assert caught.value.where == f"test_loading.py:{line}"
    assert caught.value.hint == (Call("plugins check", ("my-nets:net",)),)
    assert isinstance(caught.value.__cause__, ValueError)


def test_guarded_names_a_plugin_that_ends_the_process(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"})
    with pytest.raises(PluginError, match="SystemExit: 9"), registry.guarded("arch", "net"):
        fails(SystemExit(9))


def test_guarded_writes_no_message_for_an_error_without_text(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"})
    with pytest.raises(PluginError, match="KeyError: no message"), registry.guarded("arch", "net"):
        fails(KeyError())


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(), DataError("ours"), KeyboardInterrupt()])
def test_guarded_passes_on_errors_that_are_not_the_plugins_fault(install: Install, error: BaseException) -> None:
    install("my-nets", {"net": "plug_a:net"})
    with pytest.raises(type(error)) as caught, registry.guarded("arch", "net"):
        fails(error)
    assert caught.value is error


def test_guarded_passes_on_errors_of_built_ins() -> None:
    with pytest.raises(ValueError, match="boom"), registry.guarded("arch", "resnet20"):
        fails(ValueError("boom"))
