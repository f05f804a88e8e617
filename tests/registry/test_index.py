"""Listing and finding names over metadata."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resnetctl import registry
from resnetctl.errors import PluginError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.registry import entries, find, get, names

Install = Callable[..., None]
GOOD = "from resnetctl.spec import Arch\nnet = Arch(name='net', block='basic', depths=(1,), widths=(8,))\n"


def status(name: str) -> dict[str, str]:
    return {entry.distribution: entry.status for entry in entries("arch") if entry.name == name}


def test_names_are_in_natural_order() -> None:
    own = {entry.name for entry in entries("arch") if entry.distribution == "resnetctl"}
    listed = [name for name in names("arch") if name.startswith("resnet") and name in own]
    assert listed[:5] == ["resnet10", "resnet10_wd2", "resnet18", "resnet18_wd2", "resnet20"]
    assert listed[-1] == "resnet1202"


def test_an_unknown_name_is_a_usage_error_with_suggestions() -> None:
    with pytest.raises(UsageError, match="no arch is called 'resnet65'") as caught:
        get("arch", "resnet65")
    assert caught.value.hint == ("did you mean 'resnet56'?", Call("plugins list", settings={"kind": "arch"}))
    with pytest.raises(UsageError) as caught:
        find("dataset", "cifar11")
    assert caught.value.hint[1] == Call("data list")


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


def test_one_name_in_two_distributions_clashes_and_dist_name_chooses(install: Install) -> None:
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


@pytest.mark.parametrize(
    ("chosen", "statuses"), [("none", ("disabled", "disabled")), ("nets_b", ("disabled", "available"))]
)
def test_the_environment_variable_disables_plugins(
    install: Install, monkeypatch: pytest.MonkeyPatch, chosen: str, statuses: tuple[str, str]
) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", chosen)
    install("nets-a", {"net": "plug_a:net"})
    install("nets-b", {"net": "plug_b:net"})
    assert tuple(status("net").values()) == statuses
    assert status("resnet20") == {"resnetctl": "available"}
    with pytest.raises(PluginError, match="is switched off") as caught:
        get("arch", "nets-a:net")
    switch = Setting("no_plugins", note="switches plugins off: leave it out")
    assert caught.value.hint == (switch, "RESNETCTL_PLUGINS=nets-a")


def test_unknown_names_in_the_choice_of_plugins_are_listed(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("nets-a", {"net": "plug_a:net"})
    assert registry.unknown_plugins() == []
    monkeypatch.setenv("RESNETCTL_PLUGINS", "Nets_A, nest-b")
    assert registry.unknown_plugins() == ["nest-b"]


def test_disable_plugins_also_reaches_child_processes(monkeypatch: pytest.MonkeyPatch, install: Install) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "nets")
    install("nets", {"net": "plug_a:net"})
    assert status("net") == {"nets": "available"}
    registry.disable_plugins()
    assert status("net") == {"nets": "disabled"}
    code = "import os; print(os.environ['RESNETCTL_PLUGINS'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "none\n"


def test_an_arch_uses_the_block_of_its_own_distribution(install: Install) -> None:
    install("one", {"odd": "plug_odd:Odd"}, kind="block", code=None)
    both = "from resnetctl.blocks import BasicBlock\n\nclass Odd(BasicBlock):\n    pass\n"
    install("two", {"odd": "plug_two:Odd"}, kind="block", code=both)
    site = Path(next(path for path in sys.path if path.endswith("site")))
    (site / "plug_odd.py").write_text(both + GOOD.replace("'basic'", "'odd'"))
    info = site / "one-1.2.dist-info" / "entry_points.txt"
    info.write_text(info.read_text() + "[resnetctl.archs]\nnet = plug_odd:net\n")
    importlib.invalidate_caches()
    registry.refresh()
    with pytest.raises(PluginError, match="in 2 distributions"):
        find("block", "odd")
    assert get("arch", "net").block == "one:odd"
    assert registry.owned(get("arch", "resnet20"), ["one"]).block == "basic"
    assert registry.owned(replace(get("arch", "net"), block="odd"), ["Two", "torch"]).block == "two:odd"
    assert registry.owned(replace(get("arch", "net"), block="odd"), ["torch"]).block == "odd"
