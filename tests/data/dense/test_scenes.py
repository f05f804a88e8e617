"""Every reader gives the same kind of value: pictures that exist, with classes that it names."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import dense

from resnetctl.data.dense.scenes import VOID
from resnetctl.data.dense.sniff import Dense, open_any


@pytest.mark.parametrize("write", [dense.voc, dense.coco, dense.masked])
def test_scenes_name_files_of_the_source_and_known_classes(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    with open_any(write(tmp_path / "source")) as source:
        assert isinstance(source, Dense)
        found, paths = source.annotated, source.files.paths
    assert len(found.scenes) == 12
    assert {scene.name for scene in found.scenes} <= paths.keys()
    assert {item.label for scene in found.scenes for item in scene.objects} <= set(found.classes)
    assert all(scene.mask in paths for scene in found.scenes if found.truth == "masks")
    assert not set(found.classes) & set(VOID)
