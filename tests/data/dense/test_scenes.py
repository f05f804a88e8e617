"""Every reader gives the same kind of value: pictures that exist, with classes that it names."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import dense, numbered

from resnetctl.data.dense.scenes import VOID
from resnetctl.data.dense.sniff import Dense, open_any
from resnetctl.data.store import open_store
from resnetctl.errors import UsageError
from resnetctl.system import settings


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


def test_boxes_become_labels_of_their_pictures_and_masks_do_not(tmp_path: Path) -> None:
    numbered.added(dense.voc(tmp_path / "voc"), None, image_labels=True)
    store = open_store(settings.load().data_dir, "scenes")
    truth = store.split("train").truth
    assert store.card.truth == "tags"
    assert truth is not None
    assert truth.tags is not None
    wanted = [[name in {box[4] for box in boxes} for name in dense.CLASSES] for _, _, boxes in dense.scenes(12)]
    assert truth.tags.astype(bool).tolist() == wanted[: len(truth.tags)]
    with pytest.raises(UsageError, match="only boxes can become labels of their images"):
        numbered.added(dense.masked(tmp_path / "masks"), None, name="masks", image_labels=True)
    labels, _ = numbered.written(tmp_path / "plain")
    with pytest.raises(UsageError, match="has no boxes, but one label an image"):
        numbered.added(labels, None, name="plain", image_labels=True)
