"""A plugin whose code changed under the same version is noticed."""

import sys
from pathlib import Path

import pytest

from resnetctl.registry.code import code_digests, edited


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the distribution `own-block` with the package `own_block`."""
    info = tmp_path / "own_block-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-block\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[resnetctl.blocks]\nown = own_block.blocks:Own\n")
    package = tmp_path / "own_block"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "blocks.py").write_text("class Own: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_an_edit_changes_the_digest_and_nothing_is_imported(plugin: Path) -> None:
    before = code_digests(["own-block", "no-such-distribution"])
    assert list(before) == ["own-block"]
    assert edited(before) == []
    (plugin / "blocks.py").write_text("class Own: scale = 2\n")
    assert edited(before) == ["own-block"]
    assert "own_block" not in sys.modules


def test_a_new_file_is_an_edit_and_a_missing_plugin_is_none(plugin: Path) -> None:
    before = code_digests(["own-block"])
    (plugin / "more.py").write_text("")
    assert edited(before) == ["own-block"]
    assert edited({"no-such-distribution": "0" * 16}) == []


def test_a_plugin_of_one_module(tmp_path: Path, plugin: Path) -> None:
    (tmp_path / "own_block-0.1.0.dist-info" / "entry_points.txt").write_text("[resnetctl.blocks]\nown = single:Own\n")
    (tmp_path / "single.py").write_text("class Own: ...\n")
    before = code_digests(["own-block"])
    (tmp_path / "single.py").write_text("class Own: scale = 2\n")
    assert edited(before) == ["own-block"]
