"""The registry over distributions that are made here: metadata folders on the path, as pip leaves them."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import resnetctl
from resnetctl import registry
from resnetctl.errors import DataError, PluginError, UsageError
from resnetctl.hints import Call
from resnetctl.registry import entries, find, get, names
from resnetctl.spec import Arch

Install = Callable[..., None]
GOOD = "from resnetctl.spec import Arch\nnet = Arch(name='net', block='basic', depths=(1,), widths=(8,))\n"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Neither the listing nor an imported object outlives a test."""
    before = set(sys.modules)
    yield
    registry._entries.cache_clear()
    registry._load.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install("dist", {"name": "plug_x:net"}, kind=..., code=..., requires=...)` makes an importable distribution."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(
        dist: str, points: dict[str, str], *, kind: str = "arch", code: str | None = GOOD, requires: str = ""
    ) -> None:
        info = site / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        lines = [f"Requires-Dist: {requires}"] if requires else []
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {dist}", "Version: 1.2", *lines]))
        group = registry.GROUPS[kind]  # type: ignore[index]
        (info / "entry_points.txt").write_text(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        )
        for value in points.values():
            if code is not None:
                (site / f"{value.partition(':')[0]}.py").write_text(code)
        importlib.invalidate_caches()
        registry._entries.cache_clear()

    return make


def status(name: str) -> dict[str, str]:
    return {entry.distribution: entry.status for entry in entries("arch") if entry.name == name}


# ---- the core's own


def test_the_core_comes_through_the_same_door() -> None:
    assert {entry.distribution for entry in entries("block")} >= {"resnetctl"}
    assert {"basic", "bottleneck"} <= set(names("block"))
    assert get("arch", "resnet20").name == "resnet20"
    assert find("arch", "resnetctl:resnet20").version == resnetctl.__version__


def test_names_are_in_natural_order() -> None:
    own = {entry.name for entry in entries("arch") if entry.distribution == "resnetctl"}
    listed = [name for name in names("arch") if name.startswith("resnet") and name in own]
    assert listed[:5] == ["resnet10", "resnet10_wd2", "resnet18", "resnet18_wd2", "resnet20"]
    assert listed[-1] == "resnet1202"


def test_an_unknown_name_is_usage_and_suggests() -> None:
    with pytest.raises(UsageError, match="no arch is called 'resnet65'") as caught:
        get("arch", "resnet65")
    assert caught.value.hint == ("did you mean 'resnet56'?", "resnetctl plugins list --kind arch")
    with pytest.raises(UsageError) as caught:
        find("dataset", "cifar11")
    assert caught.value.hint[1] == "resnetctl data list"


# ---- plugins


def test_a_plugin_is_listed_without_importing_it(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"}, code="raise SystemExit('imported')")
    (entry,) = [entry for entry in entries("arch") if entry.name == "net"]
    assert (entry.distribution, entry.version, entry.value, entry.status) == (
        "my-nets",
        "1.2",
        "plug_a:net",
        "available",
    )
    assert "net" in names("arch")
    assert "plug_a" not in sys.modules


def test_get_imports_exactly_one(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net", "other": "plug_b:net"})
    found = get("arch", "net")
    assert isinstance(found, Arch)
    assert get("arch", "my_nets:net") is found
    assert "plug_a" in sys.modules
    assert "plug_b" not in sys.modules
    assert registry.distribution_of("arch", "net") == {"my-nets": "1.2"}
    assert registry.distribution_of("arch", "resnet20") == {}


def test_what_a_plugin_prints_does_not_reach_stdout(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("loud", {"net": "plug_loud:net"}, code="print('hello')\n" + GOOD)
    get("arch", "net")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def net(:", "SyntaxError"),
        ("other = 1", "AttributeError"),
        ("net = 7", "must be a resnetctl.spec.Arch, not int"),
    ],
)
def test_a_broken_plugin_is_one_error_with_its_owner(install: Install, code: str, said: str) -> None:
    install("bad-nets", {"net": "plug_bad:net"}, code=code)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert said in str(caught.value)
    assert "bad-nets 1.2" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("block", "net = 7", "must be a class"),
        ("block", "class net: pass", "needs a class attribute 'expansion: int'"),
        ("policy", "net = print", "must be a resnetctl.spec.Policy"),
        ("dataset", "class net: card = 1", "lacks fetch, read"),
    ],
)
def test_the_shape_of_every_kind_is_checked(install: Install, kind: str, code: str, said: str) -> None:
    install("bad-things", {"net": "plug_bad:net"}, kind=kind, code=code)
    with pytest.raises(PluginError, match=said):
        get(kind, "net")  # type: ignore[arg-type]


# ---- clashes, stale and disabled ones


def test_two_distributions_with_one_name_clash_and_can_be_told_apart(install: Install) -> None:
    install("nets-a", {"net": "plug_a:net"})
    install("nets-b", {"net": "plug_b:net"})
    assert status("net") == {"nets-a": "clash", "nets-b": "clash"}
    assert {"nets-a:net", "nets-b:net"} <= set(names("arch"))
    assert "net" not in names("arch")
    with pytest.raises(PluginError, match=r"is in 2 distributions: nets-a 1\.2 and nets-b 1\.2") as caught:
        get("arch", "net")
    assert caught.value.hint == ("write nets-a:net or nets-b:net",)
    assert get("arch", "nets-b:net").name == "net"
    assert "plug_a" not in sys.modules


def test_a_built_in_is_never_shadowed(install: Install) -> None:
    install("impostor", {"resnet20": "plug_a:net"})
    assert status("resnet20") == {"resnetctl": "available", "impostor": "clash"}
    assert get("arch", "resnet20").name == "resnet20"
    assert get("arch", "impostor:resnet20").name == "net"
    assert {"resnet20", "impostor:resnet20"} <= set(names("arch"))


@pytest.mark.parametrize("requires", ["resnetctl<0.0.1", "resnetctl>=99", "ResNetCtl (>=99)"])
def test_a_plugin_for_another_version_is_stale(install: Install, requires: str) -> None:
    install("old-nets", {"net": "plug_a:net"}, requires=requires)
    assert status("net") == {"old-nets": "stale"}
    assert "net" not in names("arch")
    with pytest.raises(PluginError, match="stale"):
        get("arch", "net")


@pytest.mark.parametrize("requires", ["resnetctl", "resnetctl>=0.0.1", "numpy<0.1", "resnetctl-extras>=99"])
def test_a_plugin_for_this_version_is_not(install: Install, requires: str) -> None:
    install("nets", {"net": "plug_a:net"}, requires=requires)
    assert status("net") == {"nets": "available"}


def test_a_plugin_whose_module_is_gone_is_stale(install: Install) -> None:
    install("gone-nets", {"net": "plug_gone:net"}, code=None)
    assert status("net") == {"gone-nets": "stale"}


def test_a_stale_namesake_does_not_make_a_clash(install: Install) -> None:
    install("nets-a", {"net": "plug_a:net"})
    install("nets-old", {"net": "plug_old:net"}, code=None)
    assert status("net") == {"nets-a": "available", "nets-old": "stale"}
    assert get("arch", "net").name == "net"


@pytest.mark.parametrize(
    ("chosen", "statuses"), [("none", ("disabled", "disabled")), ("nets_b", ("disabled", "available"))]
)
def test_plugins_can_be_left_out(
    install: Install, monkeypatch: pytest.MonkeyPatch, chosen: str, statuses: tuple[str, str]
) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", chosen)
    install("nets-a", {"net": "plug_a:net"})
    install("nets-b", {"net": "plug_b:net"})
    assert tuple(status("net").values()) == statuses
    assert status("resnet20") == {"resnetctl": "available"}
    with pytest.raises(PluginError, match="leaves out"):
        get("arch", "nets-a:net")


def test_a_choice_that_fits_no_distribution_is_known(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("nets-a", {"net": "plug_a:net"})
    assert registry.strangers() == []
    monkeypatch.setenv("RESNETCTL_PLUGINS", "Nets_A, nest-b")
    assert registry.strangers() == ["nest-b"]


def test_disable_plugins_reaches_children(monkeypatch: pytest.MonkeyPatch, install: Install) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "nets")
    install("nets", {"net": "plug_a:net"})
    assert status("net") == {"nets": "available"}
    registry.disable_plugins()
    assert status("net") == {"nets": "disabled"}
    code = "import os; print(os.environ['RESNETCTL_PLUGINS'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "none\n"


# ---- overlays


def test_an_overlay_is_there_for_its_block_only() -> None:
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


@pytest.mark.parametrize("name", ["../../evil", "a/b", "my data", "x:y", "-x", "\u00e9"])
def test_a_name_that_cannot_be_typed_or_be_a_folder_is_broken(install: Install, name: str) -> None:
    install("bad", {name: "plug_a:net"}, kind="dataset")
    (entry,) = (entry for entry in entries("dataset") if entry.distribution == "bad")
    assert (entry.status, entry.reason) == ("broken", "a name has letters, digits, _ . + and - only")
    assert name not in names("dataset")
    if ":" not in name:
        with pytest.raises(PluginError, match=f"dataset '{name}' of bad 1.2 is broken: a name has letters"):
            find("dataset", name)


def test_why_a_plugin_is_stale(install: Install) -> None:
    install("gone", {"gone": "plug_gone:net"}, code=None)
    install("old", {"old": "plug_old:net"}, requires="resnetctl>=99")
    with pytest.raises(PluginError, match="stale: there is no module 'plug_gone'"):
        find("arch", "gone")
    with pytest.raises(PluginError, match=f"stale: it requires resnetctl>=99, and this is {resnetctl.__version__}"):
        find("arch", "old")


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
def test_what_helps_when_it_cannot_be_imported(install: Install, value: str, code: str, hint: str) -> None:
    install("bad", {"net": value.replace(".inside", "")}, code=code)
    install("again", {"net2": value}, code=None)
    with pytest.raises(PluginError, match="cannot be imported") as caught:
        get("arch", "net2")
    assert caught.value.hint[0].startswith(hint.replace("bad", "again"))


def test_an_arch_means_the_block_of_its_own_distribution(install: Install) -> None:
    install("one", {"odd": "plug_odd:Odd"}, kind="block", code=None)
    both = "from resnetctl.models.blocks import BasicBlock\n\nclass Odd(BasicBlock):\n    pass\n"
    install("two", {"odd": "plug_two:Odd"}, kind="block", code=both)
    site = Path(next(path for path in sys.path if path.endswith("site")))
    (site / "plug_odd.py").write_text(both + GOOD.replace("'basic'", "'odd'"))
    info = site / "one-1.2.dist-info" / "entry_points.txt"
    info.write_text(info.read_text() + "[resnetctl.archs]\nnet = plug_odd:net\n")
    importlib.invalidate_caches()
    registry._entries.cache_clear()
    with pytest.raises(PluginError, match="in 2 distributions"):
        find("block", "odd")
    assert get("arch", "net").block == "one:odd"
    assert registry.owned(get("arch", "resnet20"), ["one"]).block == "basic"
    assert registry.owned(replace(get("arch", "net"), block="odd"), ["Two", "torch"]).block == "two:odd"
    assert registry.owned(replace(get("arch", "net"), block="odd"), ["torch"]).block == "odd"


# ---- what a plugin raises at work


def fails(error: BaseException) -> None:
    """Raise `error` from a frame whose module is this one, as a plugin's would be."""
    raise error


def test_guarded_blames_the_plugin_and_its_own_line(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"})
    line = fails.__code__.co_firstlineno + 2
    with pytest.raises(PluginError) as caught, registry.guarded("arch", "net"):
        fails(ValueError("boom\nand more"))
    assert caught.value.message == "arch 'net' of my-nets 1.2: ValueError: boom"
    assert caught.value.where == f"test_registry.py:{line}"
    assert caught.value.hint == (Call("plugins check", ("my-nets:net",)),)
    assert isinstance(caught.value.__cause__, ValueError)


def test_guarded_says_so_when_the_error_has_no_text(install: Install) -> None:
    install("my-nets", {"net": "plug_a:net"})
    with pytest.raises(PluginError, match="KeyError: no message"), registry.guarded("arch", "net"):
        fails(KeyError())


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(), DataError("ours"), KeyboardInterrupt()])
def test_guarded_passes_on_what_is_not_the_plugins_fault(install: Install, error: BaseException) -> None:
    install("my-nets", {"net": "plug_a:net"})
    with pytest.raises(type(error)) as caught, registry.guarded("arch", "net"):
        fails(error)
    assert caught.value is error


def test_guarded_leaves_errors_of_the_core_alone() -> None:
    with pytest.raises(ValueError, match="boom"), registry.guarded("arch", "resnet20"):
        fails(ValueError("boom"))
