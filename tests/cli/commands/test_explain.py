"""`explain` prints a line for each image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
