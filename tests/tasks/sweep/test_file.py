"""The file of a sweep is read whole, and its mistakes name file and line."""

from pathlib import Path

import pytest

from resnetctl.errors import ConfigError, InputError
from resnetctl.tasks.sweep.file import MAX_FILE, SweepFile, read_sweep


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vary =", "not TOML"),
        ("speed = 3", "wrong keys"),
        ("data = 'digits'\nepochs = 3", "wrong keys"),
        ("seeds = 0", "wrong keys"),
        ('method = "best"', "wrong keys"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_sweep(tmp_path / "a.toml")
    with pytest.raises(InputError):
        read_sweep(tmp_path / "b.toml")


def test_a_wrong_key_is_told_its_line_and_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("epochs = 3\nlr = 0.1\narch = 'resnet20'\nspeed = 3\nzzz = 1\n")
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert caught.value.problems[2:4] == (f"arch: unknown key ({path}:3)", f"speed: unknown key ({path}:4)")
    where = "under [config], for all runs; or under [vary] as"
    assert caught.value.hint == (
        f'model.arch = "resnet20"    {where} model.arch = ["resnet20", ..]',
        f"epochs = 3    {where} epochs = [3, ..]",
        f"lr = 0.1    {where} lr = [0.1, ..]",
        "speed: did you mean 'seed'?",
    )


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("seeds = 2\n[varry]\nlr = [1]", "varry: unknown key (FILE:2)", "varry: did you mean 'vary'?"),
        ("seeds = 2\n\n[[itms]]\nlr = 1", "itms: unknown key (FILE:3)", "itms: did you mean 'items'?"),
        (
            "[optim]\nname = 'adamw'",
            "optim: unknown key (FILE:1)",
            "[config.optim] for all runs, or [vary.optim] with lists of values",
        ),
        ("lr = [0.1, 0.2]", "lr: unknown key (FILE:1)", "lr = [0.1, 0.2]    under [vary]"),
    ],
)
def test_a_table_in_the_wrong_place_is_told_its_line_and_its_place(
    tmp_path: Path, text: str, line: str, hint: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert line.replace("FILE", str(path)) in caught.value.problems
    assert caught.value.hint == (hint,)


def test_the_lines_of_a_file_are_known_by_table_and_by_item(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("method = 'list'\n[config]\nlr = 1\n[[items]]\nlr = 2\n[[items]]\nseed = 3\nlr = 4\n")
    sweep = read_sweep(path)
    assert sweep.places_in("config") == {"lr": f"{path}:3"}
    assert sweep.places_of({"seed": 3, "lr": 4}) == {"seed": f"{path}:7", "lr": f"{path}:8"}
    assert sweep.place("items.0.lr") == f"{path}:5"
    assert SweepFile.model_validate(sweep.model_dump()).place("items.0.lr") is None  # as a group keeps it


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("# " + "x" * MAX_FILE)
    with pytest.raises(InputError):
        read_sweep(tmp_path / "a.toml")
