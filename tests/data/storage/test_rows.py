"""Rows of a store of files are those of the raw store, bit for bit, however many threads decode them."""

from importlib.util import find_spec

import numpy as np
import pytest
from support.photos import both

from resnetctl.data.storage import rows
from resnetctl.data.storage.rows import FileImages
from resnetctl.data.store import Store
from resnetctl.errors import DataError


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    return both(tmp_path_factory.mktemp("photos"))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("package", ["Pillow", "simplejpeg"])
def test_decoded_rows_equal_those_of_the_raw_store(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch, package: str, threads: int
) -> None:
    if package == "Pillow":
        monkeypatch.setattr(rows, "exact_decoder", lambda: None)
    elif find_spec("simplejpeg") is None:
        pytest.skip("simplejpeg is not installed")
    monkeypatch.setattr(FileImages, "_threads", threads)
    raw, files = stores
    for split in ("train", "test"):
        expected, decoded = raw.split(split), files.split(split)
        assert isinstance(decoded.images, FileImages)
        assert decoded.images.shape == expected.images.shape
        assert decoded.images.nbytes == expected.images.nbytes
        assert np.array_equal(decoded.images[:], expected.images)
        assert decoded.labels.tolist() == expected.labels.tolist()
    assert raw.card.image == files.card.image
    assert (raw.card.storage, files.card.storage) == ("raw", "jpeg")


@pytest.mark.parametrize(
    "index", [3, -0, slice(2, 9), slice(None, None, 4), [5, 5, 0], np.array([16, 1]), np.arange(0), np.int64(7)]
)
def test_rows_are_indexed_as_those_of_an_array(stores: tuple[Store, Store], index: object) -> None:
    raw, files = (store.split("train").images for store in stores)
    assert np.array_equal(files[index], raw[index])  # type: ignore[index]
    assert len(files) == len(raw) == 17


def test_a_row_outside_is_an_index_error(stores: tuple[Store, Store]) -> None:
    images = stores[1].split("train").images
    for row in (-1, 17):
        with pytest.raises(IndexError, match="rows are 0 to 16"):
            images[row]


def test_an_image_that_decodes_to_other_pixels_here_is_refused(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of Pillow may decode or resize differently: then a run would not be repeated."""
    original = rows.decode_into

    def decode_differently(image: np.ndarray, data: bytes, **more: object) -> None:
        original(image, data, **more)  # type: ignore[arg-type]
        image[0, 0, 0] ^= 1

    monkeypatch.setattr(rows, "decode_into", decode_differently)
    with pytest.raises(DataError, match=r"row 5 of the train split of dataset 'files' .* other pixels") as caught:
        stores[1].split("train").images[[5]]
    assert caught.value.exit_code == 3


def test_only_the_first_rows_are_compared_but_a_pass_over_all_compares_every_row(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    original = rows.pixel_key
    monkeypatch.setattr(rows, "pixel_key", lambda image: (compared.append(1), original(image))[1])
    images = stores[1].split("train").images
    images[:5], images[5:15], images[:]
    assert len(compared) == rows.PROVED
    assert len(list(images)) == 17
    assert len(compared) == rows.PROVED + 17


def test_processes_of_one_training_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, stores: tuple[Store, Store]
) -> None:
    monkeypatch.setattr(rows, "cores_granted", lambda: 8)
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    images = stores[1].split("train").images
    assert isinstance(images, FileImages)
    assert images._threads == 4
