"""The embedded dataset: 1,797 handwritten digits of 8x8 pixels, for a first run without a network.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49, CC BY 4.0; the copy of its test set that scikit-learn ships (see `digits.LICENSE.txt`).

`digits.npz` holds `images` (N, 8, 8) uint8 in 0..16 as published, `labels` (N,) uint8, and `test` (N,) bool: the
fixed test split. The split is stored, so no change of this package can change it. It was drawn once: each
class was sorted by `rng.derive(0, "digits test", index)`, and its first `round(0.2 * count)` images became test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, ImageSpec, Split

if TYPE_CHECKING:
    import numpy as np

FILE = "digits.npz"
PUBLISHED_MAX = 16  # a pixel counts the black dots in a square of 4x4 dots


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The dataset plugin of the embedded digits."""

    card: DatasetCard

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        """Return the packaged file; `cache` is unused. Raises `DataError` for a `source`: the images are embedded."""
        if source is not None:
            raise DataError(
                f"'{self.card.name}' is embedded in the package and cannot be read from a path",
                where=str(source),
                hint=Call("data get", (self.card.name,)),
            )
        return Path(str(resources.files(__package__) / FILE))

    def read(self, path: Path, split: Split) -> Iterator[tuple["np.ndarray[Any, Any]", str]]:
        """Yield `(8, 8, 1)` uint8 images in 0..255, `round(v * 255 / 16)`, and class names in the published order."""
        import numpy as np

        with np.load(path, allow_pickle=False) as file:
            published, labels, test = file["images"], file["labels"], file["test"]
        pixels = np.round(published * (255 / PUBLISHED_MAX)).astype(np.uint8)[..., np.newaxis]
        chosen = {"train": ~test, "test": test}.get(split, np.zeros_like(test))
        for index in np.flatnonzero(chosen):
            yield pixels[index], self.card.classes[labels[index]]


digits = Digits(
    card=DatasetCard(
        name="digits",
        classes=tuple("0123456789"),
        image=ImageSpec(size=8, channels=1, mean=(0.3051,), std=(0.3757,)),
        splits={"train": 1438, "test": 359},
        licence="CC BY 4.0",
        source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        digests={FILE: "sha256:e9a989dc3ff0bb07838103365190d8f2ab9f628c519c432d8846e598a512665b"},
        defaults={"augment": "shift", "epochs": 15, "batch_size": 64, "lr": 0.1, "mirror": False},
        notes=(
            "test: a fixed, stratified 20 % of the images; the same writers are in train and test",
            "the 1,797 images are the test part of the UCI set: do not compare with results on the whole set",
        ),
    )
)
