"""The images of the check of `export`: val of a dataset, a folder, or noise; prepared, or as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.image_files import prepared_batches
from resnetctl.data.splits import ImageSet, Inputs, eval_inputs, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.deploy.onnx_card import Input
from resnetctl.deploy.parity import BATCHES, in_batches, inputs_in_batches, noise, noisy_numbers
from resnetctl.deploy.raw.gate import about as made_up_facts
from resnetctl.deploy.raw.gate import batches as originals_in_batches
from resnetctl.deploy.raw.originals import of_folder, of_store
from resnetctl.engine.metrics import Images
from resnetctl.errors import DataError, InputError, UsageError
from resnetctl.hints import Hint, Setting
from resnetctl.spec import ImageSpec, WeightsCard
from resnetctl.system.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The images of the check: `pool` (N, S, S, C) for `float`, `originals` (H, W, C) for `raw`; and what they are.

    `numbers` (N, D) belong to the pool, for a network that reads them.
    """

    about: Mapping[str, Any]
    pool: Images | None = None
    originals: Sequence[Images] = ()
    numbers: NDArray[np.float32] | None = None

    def batches(self, image: ImageSpec) -> Iterator[tuple[Images, Images]]:
        """Yield the images for torch, and those for the exported file, in batches of `BATCHES`."""
        if self.pool is not None:
            return in_batches(self.pool)
        return originals_in_batches(self.originals, image)

    def inputs(self) -> Iterator[Inputs]:
        """Yield the inputs of a network with a head, in batches of `BATCHES`."""
        assert self.pool is not None, "a network with a head takes prepared images"
        return inputs_in_batches((self.pool,) if self.numbers is None else (self.pool, self.numbers))


def require_one(data: str | None, *, images: str | Path | None, gate: str) -> None:
    """Raise `UsageError` when a dataset and another setting say what to check on."""
    if data is not None and (images is not None or gate != "real"):
        other = Setting("gate", gate) if images is None else Setting("images", str(images))
        raise UsageError("two settings say what to check on", where=other, hint=Setting("data", data))


def chosen(
    card: WeightsCard, settings: Settings, *, store: Store | None, images: str | Path | None, gate: str, input: Input
) -> Subject:
    """Return the images of a folder or a dataset, by default that of the training; noise unless the gate is "real"."""
    if gate != "real":
        return synthetic(card, input)
    if images is not None:
        return from_folder(Path(images), card, input=input)
    return from_store(store or own_store(card, settings), card, input=input)


def synthetic(card: WeightsCard, input: Input) -> Subject:
    """Return noise."""
    image, vector = card.image, card.vector
    side = image.size if input == "float" else image.resize
    subject = _subject(noise(side, image.channels), {"kind": "synthetic"}, input)
    return subject if vector is None else replace(subject, numbers=noisy_numbers(vector))


def _subject(images: Sequence[Images] | Images, source: Mapping[str, Any], input: Input) -> Subject:
    about = {**source, "images": len(images)}
    if input == "float":
        return Subject(about=about, pool=np.asarray(images))
    return Subject(about={**about, **made_up_facts()}, originals=list(images))


def from_folder(folder: Path, card: WeightsCard, *, input: Input) -> Subject:
    """Return the first images of a folder. Raises `DataError` where there is none, or the network reads numbers too."""
    if card.vector is not None:
        raise DataError(
            "the network reads numbers with each image, and a folder has none",
            where=Setting("images", str(folder)),
            hint=["without this, the check has the images of val", Setting("gate", "synthetic", "checks on noise")],
        )
    if not folder.exists():
        raise DataError("there is no such folder", where=Setting("images", str(folder)))
    problems: list[str] = []
    if input == "raw":
        images = of_folder(folder, card.image.channels, count=sum(BATCHES), problems=problems)
    else:
        images = []
        for pixels, _ in prepared_batches([folder], card.image, problems=problems):
            images.extend(pixels)
            if len(images) >= sum(BATCHES):
                break
    if not images:
        raise DataError("the folder has no readable image", where=Setting("images", str(folder)), problems=problems)
    return _subject(images[: sum(BATCHES)], {"kind": "real", "source": "images"}, input)


def own_store(card: WeightsCard, settings: Settings) -> Store:
    """Return the dataset that the weights were trained on. Raises `InputError`, with other ways to check."""
    name = card.trained_on.get("name", "")
    if not name:
        raise _no_images(
            "the weights name no dataset to check on", first=[Setting("data", "NAME", "checks on a dataset")]
        )
    try:
        return open_store(settings.data_dir, name)
    except DataError as error:
        raise _no_images(f"{error.message}, and the check needs its images", first=error.hint[:1]) from error


def from_store(store: Store, card: WeightsCard, *, input: Input) -> Subject:
    """Return evenly spaced images of val (of train if there is no val)."""
    images = _gate_set(store, card)
    rows = np.linspace(0, len(images) - 1, min(len(images), sum(BATCHES))).astype(np.int64)
    chosen = replace(images, index=images.index[rows])
    source = {"kind": "real", "source": f"{store.card.name}/{images.split}"}
    if input == "raw":
        pictures, originals = of_store(store, chosen, channels=card.image.channels)
        return _subject(pictures, {**source, "originals": originals}, input)
    (pixels, *numbers), *_ = eval_inputs(chosen, card.image, vector=card.vector, batch_size=len(chosen))
    return replace(_subject(pixels, source, input), numbers=numbers[0] if numbers else None)


def _gate_set(store: Store, card: WeightsCard) -> ImageSet:
    try:
        return open_eval_set(store, "val", val_split=card.split, anew=True)  # any real image shows a difference
    except DataError:  # no val
        return open_eval_set(store, "train", val_split=None)


def _no_images(message: str, *, first: Sequence[Hint] = ()) -> InputError:
    hint = [
        *first,
        Setting("images", "DIR", "checks on your own images"),
        Setting("gate", "synthetic", "checks on noise, and the file says so"),
    ]
    return InputError(message, hint=hint)
