"""New plugins: written whole, named well, and passing every rule at once."""

import tomllib
from pathlib import Path

import pytest
from support import environments

from resnetctl.errors import UsageError
from resnetctl.registry import KINDS, Kind
from resnetctl.tasks.plugins.new import create


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_is_written_whole(kind: Kind, tmp_path: Path) -> None:
    made = create("resnetctl-my-thing", kind, parent=tmp_path / "new")
    assert made.folder == tmp_path / "new" / "resnetctl-my-thing"
    assert made.name == "my_thing"
    assert sorted(path for path in made.folder.rglob("*") if path.is_file()) == sorted(made.files)
    project = tomllib.loads((made.folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "resnetctl-my-thing"
    module, _, thing = project["project"]["entry-points"][KINDS[kind].group]["my_thing"].partition(":")
    text = (made.folder / (module.replace(".", "/") + ".py")).read_text()
    assert f"class {thing}(" in text or f"\n{thing} = " in text
    assert not any("$" in path.read_text() for path in made.files), "a template has a name that nobody filled"


def test_a_block_is_not_called_block_block(tmp_path: Path) -> None:
    made = create("my-block", "block", parent=tmp_path)
    assert "class MyBlock(" in (made.folder / "my_block" / "blocks.py").read_text()


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


@pytest.mark.parametrize("name", ["torch", "test", "numpy", "typing-extensions"])
def test_an_existing_package_is_not_replaced(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can be imported here already"):
        create(name, "block", parent=tmp_path)
    create(f"{name}-block", "block", parent=tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create("mine", "policy", parent=tmp_path)
    with pytest.raises(UsageError, match="the folder exists"):
        create("mine", "policy", parent=tmp_path)


@pytest.mark.timeout(600)
def test_its_tests_pass_at_once(tmp_path: Path) -> None:
    """All four kinds, installed by pip into one environment."""
    environment = environments.sharing(tmp_path / "environment")
    folders = [create(f"fresh-{kind}", kind, parent=tmp_path / "new").folder for kind in KINDS]
    words = " ".join(f"-e ./{folder.name}" for folder in folders)
    done = environments.run(f"pip install {words}", environment, folder=tmp_path / "new")
    assert done.returncode == 0, done.stderr
    done = environments.run("python -m pytest -q --import-mode=importlib", environment, folder=tmp_path / "new")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout, "hard targets have no shares: the rest passed"
