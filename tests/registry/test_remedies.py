"""Advice about an entry that cannot be used fits how its distribution was installed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resnetctl import registry
from resnetctl.errors import PluginError
from resnetctl.registry import Entry, get
from resnetctl.registry.remedies import remedy, source_of

Editable = Callable[..., Path]
Install = Callable[..., None]


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("broken", "a name has letters", "give the entry another name in its pyproject.toml"),
        ("stale", "it requires resnetctl>=99, and this is 1", "pip install --upgrade nets"),
        ("stale", "there is no module 'x'", "pip install --force-reinstall nets"),
    ],
)
def test_each_status_has_its_remedy(status: registry.Status, reason: str, words: str) -> None:
    entry = Entry(kind="arch", name="n", value="m:n", distribution="nets", version="1", status=status, reason=reason)
    assert remedy(entry).startswith(words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("plug_x.blocks.GatedBlock", "write module:Class, as in plug_x.blocks:GatedBlock, in "),
        ("plug_x.net", "write module:object, as in plug_x:net, in "),
        ("plug_x", "write module:object, in "),
    ],
)
def test_an_entry_with_a_dot_for_the_colon_says_how_to_write_it(
    install: Install, editable: Editable, value: str, words: str
) -> None:
    install("dotted", {"dotted": value}, code=None)
    with pytest.raises(PluginError, match="has no colon") as caught:
        get("arch", "dotted")
    assert caught.value.hint == (f"{words}its pyproject.toml, then install it again",)
    assert "dotted" not in registry.names("arch")
    folder = editable("my-nets", value)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert caught.value.hint == (f"{words}{folder / 'pyproject.toml'}, then pip install -e {folder}",)


def test_an_editable_plugin_that_was_moved_names_its_old_folder(
    editable: Editable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = editable("my-nets", "plug_moved:net")
    (tmp_path / "far" / "away").mkdir(parents=True)
    folder.rename(tmp_path / "far" / "away" / "nets")
    registry.refresh()
    monkeypatch.chdir(folder.parent)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert caught.value.message.endswith(f"is stale: it was installed from {folder}, which is gone")
    assert caught.value.hint == ("pip install -e ./FOLDER    with the folder where it is now",)


@pytest.mark.parametrize("place", ["my-nets", "elsewhere/my-nets", "renamed"])
def test_a_plugin_that_was_moved_near_by_is_found(
    editable: Editable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder, here = editable("my-nets", "plug_moved:net"), tmp_path / "here"
    (here / place).parent.mkdir(parents=True, exist_ok=True)
    folder.rename(here / place)
    registry.refresh()
    monkeypatch.chdir(here)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert caught.value.hint == (f"pip install -e ./{place}",)


def test_a_requirement_of_an_editable_plugin_is_changed_in_its_pyproject(editable: Editable) -> None:
    folder = editable("my-nets", "plug_a:net", requires="resnetctl>=99")
    with pytest.raises(PluginError, match="it requires resnetctl>=99") as caught:
        get("arch", "net")
    assert caught.value.hint == (
        f"change the requirement in {folder / 'pyproject.toml'}, then pip install -e {folder}",
    )


@pytest.mark.parametrize(
    ("code", "text", "line"),
    [
        ("import os\ndef net()\n    pass\n", "SyntaxError: expected ':'", 2),
        ("import os\n\nnet = 1 / 0\n", "ZeroDivisionError: division by zero", 3),
        ("import os\nnet = os.no_such_name\n", "AttributeError: module 'os' has no attribute", 2),
        ("from os import no_such_name\n", "ImportError: cannot import name", 1),
    ],
    ids=["syntax", "raises", "attribute", "import"],
)
def test_a_mistake_in_an_editable_plugin_has_its_file_and_line(
    editable: Editable, code: str, text: str, line: int
) -> None:
    folder = editable("my-nets", "plug_wrong:net", code=code)
    with pytest.raises(PluginError) as caught:
        get("arch", "net")
    assert f"of my-nets 1.2 cannot be imported: {text}" in caught.value.message
    assert caught.value.where == f"plug_wrong.py:{line}"
    assert caught.value.hint[0] == f"correct {folder / 'plug_wrong.py'}, then run the command again"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "file:///x"}', '{"dir_info": {"editable": true}, "url": 7}'])
def test_a_distribution_that_is_not_editable_has_no_source(install: Install, tmp_path: Path, text: str) -> None:
    install("my-nets", {"net": "plug_a:net"})
    (tmp_path / "site" / "my_nets-1.2.dist-info" / "direct_url.json").write_text(text)
    assert source_of("my-nets") is None
    assert source_of("no-such-distribution") is None
