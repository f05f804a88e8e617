"""`explain` prints a line for each image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.trained import card, make_pictures, make_run

Cli = Callable[..., Any]


def test_a_line_names_the_class_the_scores_and_the_picture(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    pictures = make_pictures(tmp_path / "pictures", 2)
    result = cli("explain", "last", str(pictures), "--class", "bee", "--out", "drawn")
    assert result.code == 0
    header, first, second = (line.split("\t") for line in result.out.splitlines())
    assert header == ["file", "class", "probability", "insertion", "deletion", "random head", "map"]
    assert (first[1], first[-1], second[-1]) == ("bee", "drawn/000-0.png", "drawn/001-1.png")
    assert Path("drawn/001-1.npy").is_file()
    document = cli("explain", "last", str(pictures / "0.png"), "--json").json()
    assert document["schema"] == "resnetctl.explain/1"


def test_a_bad_file_is_exit_3_and_a_bad_class_exit_2(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    pictures = make_pictures(tmp_path / "pictures", 1)
    (pictures / "bad.png").write_bytes(b"no image")
    assert cli("explain", "last", str(pictures)).code == 3
    assert cli("explain", "last", str(pictures), "--class", "dog").code == 2
    assert not list(Path("maps").glob("*bad*"))


def test_the_unreadable_file_is_named_and_the_others_are_in_the_document(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    pictures = make_pictures(tmp_path / "pictures", 3)
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:60])
    result = cli("explain", "last", str(pictures), "--json")
    document = result.json()
    assert result.code == 3
    assert [Path(item["file"]).name for item in document["results"]] == ["0.png", "2.png"]
    assert len(document["problems"]) == 1
    assert str(pictures / "1.png") in document["problems"][0]
    assert sorted(path.name for path in Path("maps").glob("*.png")) == ["000-0.png", "001-2.png"]


def test_without_a_readable_image_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = cli("explain", "last", str(tmp_path / "bad.png"), str(tmp_path / "gone.png"))
    assert result.code == 3
    assert "bad.png" in result.err
    assert "gone.png" in result.err
    assert not Path("maps").exists()


@pytest.mark.parametrize("letter", ["a", "\N{KATAKANA LETTER A}", "\N{GRINNING FACE}"])
def test_long_names_of_any_script_get_files(cli: Cli, tmp_path: Path, letter: str) -> None:
    make_run(card())
    pictures = make_pictures(tmp_path / "pictures", 1)
    name = letter * (250 // len(letter.encode()))
    file = (pictures / "0.png").rename(pictures / f"{name}.png")
    result = cli("explain", "last", str(file))
    assert result.code == 0, result.err
    (picture,) = Path("maps").glob("*.png")
    assert picture.name.startswith("000-" + letter * 10)
    assert np.load(picture.with_suffix(".npy")).dtype == np.float32


def test_equal_names_of_two_folders_do_not_overwrite_each_other(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    folders = [make_pictures(tmp_path / name, 1) for name in ("a", "b")]
    Image.new("L", (8, 8), 200).save(folders[1] / "0.png")
    document = cli("explain", "last", *map(str, folders), "--json").json()
    assert [item["picture"] for item in document["results"]] == ["maps/000-0.png", "maps/001-0.png"]
    maps = [np.load(item["array"]) for item in document["results"]]
    assert not np.array_equal(*maps)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--class", "bees"), "did you mean 'bee'?"),
        (("--stage", "layer3"), "'layer3' is no stage of these weights"),
        (("--method", "gradcan"), "gradcam"),
    ],
)
def test_a_wrong_name_is_exit_2_with_the_nearest_one(
    cli: Cli, tmp_path: Path, flags: tuple[str, str], message: str
) -> None:
    make_run(card())
    result = cli("explain", "last", str(make_pictures(tmp_path / "pictures", 1)), *flags)
    assert (result.code, Path("maps").exists()) == (2, False)
    assert message in result.err
    assert flags[0] in result.err


def test_an_output_that_is_a_file_is_exit_2(cli: Cli, tmp_path: Path) -> None:
    make_run(card())
    Path("maps").write_text("mine")
    result = cli("explain", "last", str(make_pictures(tmp_path / "pictures", 1)))
    assert (result.code, Path("maps").read_text()) == (2, "mine")
    assert "maps" in result.err
