"""The folder of a plugin is found by the name in its pyproject, and only such a folder becomes a line to paste."""

from pathlib import Path

import pytest

from resnetctl.registry.folders import distribution_in, folder_of, install_hints, install_line, version_hints


def source(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    return folder


@pytest.mark.parametrize("text", ["", "[project", "project = 7", "[project]\nname = 7", "\xff", "x = " + "[" * 100_000])
def test_a_folder_without_a_name_has_no_distribution(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="latin-1")
    assert distribution_in(tmp_path) is None
    assert distribution_in(tmp_path / "absent") is None


@pytest.mark.parametrize("place", [".", "my-block", "my_block", "plugins/my-block"])
def test_the_source_of_a_distribution_is_found_near_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / place / "pyproject.toml").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "pyproject.toml").write_text('[project]\nname = "My_Block"\n')
    assert folder_of("my-block") == Path(place)
    assert folder_of("other") is None


def test_a_folder_of_another_distribution_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source(tmp_path / "mine", "theirs")
    assert folder_of("mine") is None
    (hint,) = install_hints({"mine": "1.2"})
    assert hint == "install mine 1.2 from the folder, wheel or index that has it: pip install ./FOLDER"


def test_the_line_to_paste_has_a_path_and_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source(tmp_path / "mine", "mine")
    assert install_hints({"mine": "1"}) == ["pip install -e ./mine"]
    assert install_line(Path("two words")) == "pip install -e './two words'"
    assert install_line(Path("/a/b")) == "pip install -e /a/b"


@pytest.mark.parametrize("place", [".", "./dist"])
def test_a_wheel_of_the_version_near_by_is_a_line_to_paste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "my_block-1.20-py3-none-any.whl").touch()
    assert install_hints({"My.Block": "1.2"})[0].startswith("install My.Block 1.2 from the folder, wheel")
    name = "my_block-1.2-py3-none-any.whl"
    (tmp_path / place / name).touch()
    assert install_hints({"My.Block": "1.2"}) == [f"pip install {place}/{name}"]


def test_plugins_of_the_project_are_in_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (hint,) = install_hints({"resnetctl-lite": "0.1.0"})
    assert hint == "pip install ./plugins/resnetctl-lite    in a clone of resnetctl"


def test_another_version_is_checked_out_before_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = source(tmp_path / "mine", "mine")
    for text, hint in {
        '\nversion = "1.2"': "pip install -e ./mine",
        '\nversion = "1.3"': "check out the code of 1.2 in mine, then pip install -e ./mine",
        "": "check out the code of 1.2 in mine, then pip install -e ./mine",  # the version is in the code
    }.items():
        (folder / "pyproject.toml").write_text(f'[project]\nname = "mine"{text}\n')
        assert version_hints({"mine": "1.2"}) == [hint]
    assert version_hints({"other": "1.2"})[0].startswith("install other 1.2 from the folder, wheel or index")
    assert version_hints({}) == []
