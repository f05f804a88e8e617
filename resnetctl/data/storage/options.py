"""What a user may choose when images are stored."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self

from resnetctl.spec import MAX_PIXELS, DatasetCard, Fit, Storage

UNREADABLE = "skipped, because they cannot be read"  # begins the note of a card on them


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to store images. `size` is the stored side in pixels, None: automatic. Bad images are errors or skipped.

    An image with more than `max_pixels` pixels is a bad image. `fit` "auto" crops the images of class folders, and pads
    pictures with boxes or masks. `vectors` is a file with numbers of the images. With `image_labels`, pictures have the
    classes of their boxes as labels, and no boxes. With `strict`, a box without area and a column of one value are
    errors; otherwise the box is left out and counted, and the column stays and is named.
    `storage` "auto" chooses the form by the free disk (`data.storage.choice`). A shard of files has at most `shard_mb`
    MiB. With `shuffle`, images are stored in a mixed order, which is the same each time.
    """

    size: int | None = None
    fit: Fit | Literal["auto"] = "auto"
    on_bad_image: Literal["error", "skip"] = "error"
    replace: bool = False
    max_pixels: int = MAX_PIXELS
    strict: bool = False
    storage: Storage | Literal["auto"] = "auto"
    shard_mb: int = 1024
    shuffle: bool = False
    vectors: Path | None = None
    image_labels: bool = False

    def given(self) -> dict[str, object]:
        """Return the options that are not the default, by name."""
        return {each.name: value for each in fields(Options) if (value := getattr(self, each.name)) != each.default}

    def like(self, card: DatasetCard) -> Self:
        """Return the options for a dataset in the place of that of `card`: its size, fit and form unless given.

        If that dataset was stored without images that cannot be read, so is this one.
        """
        image = card.image
        size = None if image.size < image.resize else image.resize  # the automatic size of photos leaves a border
        skipped = any(note.startswith(UNREADABLE) for note in card.notes)
        return replace(
            self,
            on_bad_image="skip" if skipped else self.on_bad_image,
            size=self.size or size,
            fit=image.fit if self.fit == "auto" else self.fit,
            storage="jpeg" if self.storage == "auto" and card.storage == "jpeg" else self.storage,
        )

    def taken_over(self, asked: "Options") -> str:
        """Return what was not asked for, and taken from the dataset that is replaced; "" for nothing."""
        parts = [f"{self.size} px, fit {self.fit}"] if asked.size is None and self.size is not None else []
        parts += ["without images that cannot be read"] if asked.on_bad_image != self.on_bad_image else []
        return ", ".join(parts)
