"""`data show` counts images and writes a contact sheet."""

from pathlib import Path

from PIL import Image
from support.pictures import tree, write_tree
from support.toy_dataset import done

from resnetctl.system.settings import Settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.show import show


def test_show_counts_by_class_and_split_and_writes_a_sheet(tmp_path: Path, settings: Settings) -> None:
    done(add(AddRequest(path=write_tree(tmp_path / "p", tree()), name="pets"), settings))
    report = show("pets", settings, sheet=tmp_path / "sheet.png")
    assert report.counts == {"cat": {"train": 4, "test": 2}, "dog": {"train": 4, "test": 2}}
    assert Image.open(tmp_path / "sheet.png").format == "PNG"
    assert report.to_json()["sheet"] == str(tmp_path / "sheet.png")
    assert show("pets", settings).sheet is None
