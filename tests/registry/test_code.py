"""A plugin whose code changed under the same version is noticed."""

import importlib
import sys
from pathlib import Path

import pytest

from resnetctl.registry.code import code_digests, edited, forget_code, named_files

OLD, OLD_SINGLE = (
    "f7624a3818092ef6",
    "27a551c0990bbdd0",
)  # of all files, as resnetctl recorded them before each file had a digest


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


def test_an_edit_names_its_file_and_nothing_is_imported(plugin: Path) -> None:
    before = code_digests(["own-block", "no-such-distribution"])
    assert list(before) == ["own-block"]
    assert list(before["own-block"]) == ["own_block/__init__.py", "own_block/blocks.py"]
    assert edited(before) == []
    (plugin / "blocks.py").write_text("class Own: scale = 2\n")
    assert edited(before) == ["own-block (own_block/blocks.py)"]
    assert "own_block" not in sys.modules


def test_only_files_that_the_process_imported_matter(plugin: Path) -> None:
    (plugin / "__init__.py").write_text("")
    (plugin / "other.py").write_text("")
    importlib.import_module("own_block.blocks")
    before = code_digests(["own-block"])
    for name in ("own_block.blocks", "own_block"):
        del sys.modules[name]
    assert list(before["own-block"]) == ["own_block/__init__.py", "own_block/blocks.py"]
    (plugin / "other.py").write_text("# a comment")
    (plugin / "more.py").write_text("")
    assert edited(before) == []
    (plugin / "blocks.py").unlink()
    assert edited(before) == ["own-block (own_block/blocks.py)"]


def test_a_process_records_the_code_that_it_has_imported(plugin: Path) -> None:
    before = code_digests(["own-block"])
    (plugin / "blocks.py").write_text("class Own: scale = 2\n")
    assert code_digests(["own-block"]) == before
    forget_code()
    assert code_digests(["own-block"]) != before


def test_many_files_are_counted() -> None:
    assert named_files("own", [f"{letter}.py" for letter in "dcbae"]) == "own (a.py, b.py, c.py, 2 more)"
    assert named_files("own", []) == "own"


def test_one_digest_of_all_files_from_an_earlier_version_still_counts(plugin: Path) -> None:
    before = {"own-block": "c0e7c3c0"}
    assert edited(before) == ["own-block"]
    assert edited({"own-block": OLD}) == []
    (plugin / "more.py").write_text("")
    assert edited({"own-block": OLD}) == ["own-block"]
    assert edited({"no-such-distribution": "0" * 16}) == []


def test_a_plugin_of_one_module(tmp_path: Path, plugin: Path) -> None:
    (tmp_path / "own_block-0.1.0.dist-info" / "entry_points.txt").write_text("[resnetctl.blocks]\nown = single:Own\n")
    (tmp_path / "single.py").write_text("class Own: ...\n")
    before = code_digests(["own-block"])
    assert edited(before) == edited({"own-block": OLD_SINGLE}) == []
    (tmp_path / "single.py").write_text("class Own: scale = 2\n")
    assert edited(before) == ["own-block (single.py)"]
    assert edited({"own-block": OLD_SINGLE}) == ["own-block"]
