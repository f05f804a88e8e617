"""The status of one entry point: available, stale or broken."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnetctl
from resnetctl import registry
from resnetctl.errors import PluginError
from resnetctl.registry import entries, find, get, names
from resnetctl.registry.metadata import NAME, normal_name

Install = Callable[..., None]


def status(name: str) -> dict[str, str]:
    return {entry.distribution: entry.status for entry in entries("arch") if entry.name == name}


@pytest.mark.parametrize(
    "requires",
    ["resnetctl<0.0.1", "resnetctl>=99", "ResNetCtl (>=99)", "resnetctl>=99; python_version > '3'", "resnetctl >=< 1"],
)
def test_a_plugin_for_another_version_is_stale(install: Install, requires: str) -> None:
    install("old-nets", {"net": "plug_a:net"}, requires=requires)
    assert status("net") == {"old-nets": "stale"}
    assert "net" not in names("arch")
    with pytest.raises(PluginError, match="stale"):
        get("arch", "net")


@pytest.mark.parametrize(
    "requires",
    [
        "resnetctl",
        "resnetctl>=0.0.1",
        "numpy<0.1",
        "resnetctl-extras>=99",
        "resnetctl>=99; extra == 'new'",
        "resnetctl>=99; python_version < '3'",
    ],
)
def test_a_plugin_for_this_version_is_available(install: Install, requires: str) -> None:
    install("nets", {"net": "plug_a:net"}, requires=requires)
    assert status("net") == {"nets": "available"}


def test_a_plugin_without_its_module_is_stale(install: Install) -> None:
    install("gone-nets", {"net": "plug_gone:net"}, code=None)
    assert status("net") == {"gone-nets": "stale"}


def test_a_stale_entry_of_the_same_name_is_no_clash(install: Install) -> None:
    install("nets-a", {"net": "plug_a:net"})
    install("nets-old", {"net": "plug_old:net"}, code=None)
    assert status("net") == {"nets-a": "available", "nets-old": "stale"}
    assert get("arch", "net").name == "net"


@pytest.mark.parametrize("name", ["../../evil", "a/b", "my data", "x:y", "-x", "\u00e9"])
def test_a_name_with_other_characters_is_broken(install: Install, name: str) -> None:
    install("bad", {name: "plug_a:net"}, kind="dataset")
    (entry,) = (entry for entry in entries("dataset") if entry.distribution == "bad")
    assert (entry.status, entry.reason) == ("broken", "a name has letters, digits, _ . + and - only")
    assert name not in names("dataset")
    if ":" not in name:
        with pytest.raises(PluginError, match=f"dataset '{name}' of bad 1.2 is broken: a name has letters"):
            find("dataset", name)


def test_a_stale_plugin_has_a_reason(install: Install) -> None:
    install("gone", {"gone": "plug_gone:net"}, code=None)
    install("old", {"old": "plug_old:net"}, requires="resnetctl>=99")
    with pytest.raises(PluginError, match="stale: there is no module 'plug_gone'"):
        find("arch", "gone")
    with pytest.raises(PluginError, match=f"stale: it requires resnetctl>=99, and this is {resnetctl.__version__}"):
        find("arch", "old")


def test_a_distribution_without_metadata_is_stale_and_others_still_work(install: Install) -> None:
    install("half-gone", {"net": "plug_a:net"})
    site = Path(next(path for path in sys.path if path.endswith("site")))
    (site / "half_gone-1.2.dist-info" / "METADATA").unlink()
    registry.refresh()
    (entry,) = (entry for entry in entries("arch") if entry.name == "net")
    assert (entry.distribution, entry.version, entry.status) == ("half-gone", "1.2", "stale")
    assert entry.reason == "its metadata is missing: install it again"
    assert "net" not in names("arch")
    assert registry.unknown_plugins() == []
    with pytest.raises(PluginError, match=r"arch 'net' of half-gone 1\.2 is stale: its metadata is missing"):
        find("arch", "net")


@pytest.mark.parametrize("folder", [".dist-info", "x.dist-info", "-.egg-info"])
def test_a_metadata_folder_without_name_breaks_nothing(install: Install, folder: str) -> None:
    install("nets", {"net": "plug_a:net"})
    damaged = Path(next(path for path in sys.path if path.endswith("site"))) / folder
    damaged.mkdir()
    (damaged / "entry_points.txt").write_text("[resnetctl.archs]\nlost = plug_a:net\n")
    registry.refresh()
    assert status("net") == {"nets": "available"}
    assert set(status("lost").values()) == {"stale"}


@pytest.mark.parametrize("name", ["a", "0", "ResNet_20.x+y-z", "a" * 100, "a.b"])
def test_names_that_are_easy_to_type_are_good(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "a.", "_a", "+", "a" * 101, "a b", "a\n", "\u0661"])
def test_names_that_are_no_folder_name_everywhere_are_not(name: str) -> None:
    assert not NAME.fullmatch(name)


@given(st.text("aB1-_.", max_size=12))
def test_a_normal_name_is_its_own_and_has_single_dashes(name: str) -> None:
    normal = normal_name(name)
    assert normal_name(normal) == normal
    assert not {"--", "_", "."} & {normal[at : at + size] for at in range(len(normal)) for size in (1, 2)}
    assert normal_name(name.replace("_", ".")) == normal


@pytest.mark.parametrize("value", [":net", ".x:net", "no_such.part:net"])
def test_an_entry_point_without_a_module_is_stale(install: Install, value: str) -> None:
    install("odd", {"net": value}, code=None)
    assert status("net") == {"odd": "stale"}


def test_the_name_of_a_built_in_that_is_reserved_is_broken(install: Install) -> None:
    reserving = [kind for kind, row in registry.KINDS.items() if row.reserved]
    assert reserving
    for kind in reserving:
        taken = sorted(registry.resolve(registry.KINDS[kind].reserved)())[0]
        install(f"grabs-{kind}", {taken: "plug_a:net"}, kind=kind)
        (entry,) = (entry for entry in entries(kind) if entry.distribution == f"grabs-{kind}")
        assert (entry.status, entry.reason) == ("broken", "this is the name of a built-in")


def test_the_first_distribution_of_a_name_on_the_path_counts(install: Install, tmp_path: Path) -> None:
    install("twice", {"net": "plug_a:net"})
    other = tmp_path / "other" / "twice-9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 9\n")
    (other / "entry_points.txt").write_text("[resnetctl.archs]\nnet = plug_a:net\n")
    sys.path.append(str(other.parent))
    try:
        registry.refresh()
        assert [entry.version for entry in entries("arch") if entry.name == "net"] == ["1.2"]
    finally:
        sys.path.remove(str(other.parent))
