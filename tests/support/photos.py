"""Image files of every kind that a store of files must decode as the raw store does, and both stores of them."""

from pathlib import Path

import numpy as np
from PIL import Image
from support.pictures import encode, write_tree

from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store
from resnetctl.spec import Storage

SIDE = 24


def photo(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Return a smooth picture with noise, (width, height)."""
    chance = np.random.default_rng(seed)
    rough = Image.fromarray(chance.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(rough, np.int16) + chance.integers(-20, 20, (size[1], size[0], 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def files() -> dict[str, bytes]:
    """Return files by path: JPEG of every subsampling, colour space, size and rotation; PNG and GIF."""
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "444.jpg": encode(photo(0), "JPEG", subsampling=0),
        "422.jpg": encode(photo(1), "JPEG", subsampling=1),
        "420.jpg": encode(photo(2), "JPEG", subsampling=2, quality=90),
        "large.jpg": encode(photo(3, (61, 47)), "JPEG"),
        "progressive.jpg": encode(photo(4, (33, 50)), "JPEG", progressive=True),
        "grey.jpg": encode(photo(5).convert("L"), "JPEG"),
        "cmyk.jpg": encode(photo(6).convert("CMYK"), "JPEG"),
        "turned.jpg": encode(photo(7, (40, 30)), "JPEG", exif=turned),
        "profile.jpg": encode(photo(8), "JPEG", icc_profile=b"any"),
        "clear.png": encode(photo(9).convert("RGBA"), "PNG"),
        "palette.gif": encode(photo(10).convert("P"), "GIF"),
    }
    whole = {f"train/cat/{name}": data for name, data in kinds.items()}
    whole |= {f"train/dog/{number}.jpg": encode(photo(20 + number), "JPEG") for number in range(6)}
    return whole | {f"test/dog/{number}.jpg": encode(photo(40 + number), "JPEG") for number in range(3)}


def added(folder: Path, data_dir: Path, name: str, storage: Storage) -> Store:
    """Store a folder of images with `SIDE` pixels."""
    options = Options(size=SIDE, storage=storage)
    list(ingest(data_dir, name, source=open_source(folder), options=options))
    return open_store(data_dir, name)


def both(folder: Path) -> tuple[Store, Store]:
    """Return the raw store and the store of files of one folder of images."""
    source = write_tree(folder / "photos", files())
    return added(source, folder / "data", "raw", "raw"), added(source, folder / "data", "files", "jpeg")
