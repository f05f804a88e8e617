"""A new plugin is complete, has valid names, and passes every rule."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from support import environments
from support.distributions import install

from resnetctl import registry
from resnetctl.errors import ResnetctlError, UsageError
from resnetctl.registry import KINDS, Kind
from resnetctl.tasks.plugins.new import create, requirement

WITH_TEMPLATE = [kind for kind, row in KINDS.items() if row.scaffold is not None]


@pytest.mark.parametrize("kind", WITH_TEMPLATE)
def test_a_new_distribution_has_all_its_files_and_its_entry(kind: Kind, tmp_path: Path) -> None:
    plugin = create("resnetctl-my-own", kind, parent=tmp_path / "new")
    assert plugin.folder == tmp_path / "new" / "resnetctl-my-own"
    assert plugin.name == "my_own"
    assert sorted(path for path in plugin.folder.rglob("*") if path.is_file()) == sorted(plugin.files)
    project = tomllib.loads((plugin.folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "resnetctl-my-own"
    module, _, value = project["project"]["entry-points"][KINDS[kind].group]["my_own"].partition(":")
    text = (plugin.folder / (module.replace(".", "/") + ".py")).read_text()
    assert any(start in text for start in (f"class {value}(", f"def {value}(", f"\n{value} = ", f"\n{value}: "))
    assert not any("$" in path.read_text() for path in plugin.files), "a placeholder of a template has no value"


def test_the_class_of_my_block_is_called_my_block(tmp_path: Path) -> None:
    plugin = create("my-block", "block", parent=tmp_path)
    assert "class MyBlock(" in (plugin.folder / "my_block" / "blocks.py").read_text()


@pytest.mark.parametrize(
    "name", ["My-Block", "1block", "a--b", "../up", "a b", "class", "resnetctl", "", "tests", "resnetctl-3d"]
)
def test_invalid_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        create(name, "block", parent=tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


def test_a_built_in_cannot_be_shadowed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'resnet20' is a built-in arch"):
        create("resnetctl-resnet20", "arch", parent=tmp_path)
    create("resnetctl-resnet20", "policy", parent=tmp_path)


def test_a_name_of_another_installed_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "theirs", {"block": {"chgate": "theirs:Chgate"}}, code="")
    registry.refresh()
    for name in ("chgate", "resnetctl-chgate"):
        with pytest.raises(UsageError, match=r"theirs 1\.2, which is installed, has the block 'chgate'"):
            create(name, "block", parent=tmp_path)
        assert not (tmp_path / name).exists()
    create("chgate", "policy", parent=tmp_path)
    registry.refresh()


@pytest.mark.parametrize(
    ("version", "versions"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("0.9.3", ">=0.9,<0.10"),
        ("1.4.2", ">=1.4,<2"),
        ("0.2.0.dev1", ">=0.2.0.dev1,<0.3"),
    ],
)
def test_a_new_plugin_admits_the_versions_that_break_nothing(version: str, versions: str) -> None:
    assert requirement(version) == versions
    assert SpecifierSet(versions).contains(version, prereleases=True)


def test_a_new_plugin_requires_what_the_page_shows(tmp_path: Path) -> None:
    folder = create("fresh", "block", parent=tmp_path).folder
    (line,) = [one for one in (folder / "pyproject.toml").read_text().splitlines() if one.startswith("dependencies")]
    page = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-plugin.md"
    assert line in page.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["torch", "test", "numpy", "typing-extensions"])
def test_an_existing_package_is_not_replaced(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can already be imported"):
        create(name, "block", parent=tmp_path)
    create(f"{name}-block", "block", parent=tmp_path)


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    create("mine", "policy", parent=tmp_path)
    with pytest.raises(UsageError, match="the folder exists"):
        create("mine", "policy", parent=tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kinds",
    [("block",), pytest.param(WITH_TEMPLATE, marks=pytest.mark.certify)],
    ids=["some", "all"],
)
def test_the_tests_of_new_plugins_pass(kinds: Sequence[str], tmp_path: Path) -> None:
    """One plugin of each kind, installed by pip into one environment."""
    environment = environments.sharing(tmp_path / "environment")
    folders = [create(f"fresh-{kind}", kind, parent=tmp_path / "new").folder for kind in kinds]
    words = " ".join(f"-e ./{folder.name}" for folder in folders)
    done = environments.run(f"pip install {words}", environment, folder=tmp_path / "new")
    assert done.returncode == 0, done.stderr
    done = environments.run("python -m pytest -q --import-mode=importlib", environment, folder=tmp_path / "new")
    assert done.returncode == 0, done.stdout + done.stderr
    is_hard = "the new policy has hard targets, so the rule of soft targets is skipped"
    assert ("skipped" in done.stdout) == ("policy" in kinds), is_hard


@pytest.mark.parametrize(
    ("name", "kind", "entry", "start"),
    [
        ("squeeze", "block", "squeeze", "class SqueezeBlock("),
        ("squeeze-block", "block", "squeeze_block", "class SqueezeBlock("),
        ("resnetctl-lion", "optimizer", "lion", "def lion("),
        ("resnetctl-csv", "tracker", "csv", "csv = Tracker()"),
        ("a1-b2", "policy", "a1_b2", "a1_b2 = "),
    ],
)
def test_objects_are_named_after_their_distribution(
    name: str, kind: Kind, entry: str, start: str, tmp_path: Path
) -> None:
    plugin = create(name, kind, parent=tmp_path)
    assert plugin.name == entry
    assert start in (plugin.folder / name.replace("-", "_") / f"{KINDS[kind].plural}.py").read_text()


def test_an_entry_that_is_a_word_of_python_still_makes_a_valid_module(tmp_path: Path) -> None:
    for kind in WITH_TEMPLATE:
        plugin = create("resnetctl-class", kind, parent=tmp_path / kind)
        for path in plugin.files:
            if path.suffix == ".py":
                compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {kind for kind, row in KINDS.items() if row.scaffold}))
def test_a_kind_without_a_template_is_refused(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"there is no template for a {kind}"):
        create("mine", kind, parent=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_error_leaves_no_part_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises((OSError, ResnetctlError)):
        create("mine", "policy", parent=tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_readme_shows_how_the_entry_is_used(tmp_path: Path) -> None:
    plugin = create("my-sched", "schedule", parent=tmp_path)
    text = (plugin.folder / "README.md").read_text()
    assert "my_sched" in text
    assert "resnetctl train" in text
