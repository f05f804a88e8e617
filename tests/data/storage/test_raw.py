"""The raw form maps the pixels that it wrote. `tests/data/test_store.py` damages it."""

from pathlib import Path

import numpy as np
import pytest

from resnetctl.data.storage import raw


def written(path: Path, images: np.ndarray) -> Path:
    with path.open("w+b") as file:
        writer = raw.RawWriter(file, images.shape[1:])
        for row, image in enumerate(images):
            assert writer.append(image, row % 2, key=0, file=b"ignored", digest="") == row
        writer.finish(None, {})
    return path


def test_pixels_and_labels_read_back_and_digests_do_not_depend_on_the_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 5, 3), dtype=np.uint8)
    first = written(tmp_path / "a.safetensors", images)
    mapped, guard, table = raw.open_raw(first, (5, 5, 3))
    guard.check(np.arange(9))
    assert np.array_equal(mapped, images)
    assert table.columns["labels"].tolist() == [0, 1] * 4 + [0]
    monkeypatch.setattr(raw, "BUFFER", 1)
    assert written(tmp_path / "b.safetensors", images).read_bytes() == first.read_bytes()
    with pytest.raises(ValueError, match=r"not images of \[4, 4, 3\]"):
        raw.open_raw(first, (4, 4, 3))
