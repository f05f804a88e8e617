"""The checks of `data check` for pictures with boxes or masks."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.checks import Auditor
from resnetctl.data.dense.ingest import Work
from resnetctl.data.dense.sniff import Dense
from resnetctl.data.reading.decode import BadImage, open_image
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store
from resnetctl.errors import DataError
from resnetctl.system import storage

FEW = 20  # objects of a class
REPORT_EVERY = 50  # images


def check_dense_source(dense: Dense, auditor: Auditor) -> Generator[int, None, None]:
    """Judge every annotation and decode every picture of a source; yield the number of pictures done."""
    work = Work.of(dense, Options())
    survey = work.survey()
    for done, scene in enumerate(survey.scenes, start=1):
        try:
            data = work.files.read(scene.name)
            open_image(data, scene.name)
            auditor.see(data, split=scene.split or "", label="", name=scene.name)
        except BadImage as error:
            survey.bad.append(f"{error.where}: {error.message}")
        if done % REPORT_EVERY == 0:
            yield done
    auditor.add("error", "bad-annotation", message="annotations that cannot be used", names=survey.problems)
    for line in survey.bad:
        auditor.cannot_read(line)
    auditor.add("warning", "flat-box", message="boxes without area", names=work.boxes.flat)
    auditor.add("warning", "unknown-mask", message="masks that are not known anywhere", names=survey.hidden)
    auditor.conclude({})
    if survey.present and work.source.truth != "masks":
        _few(auditor, work.source.classes, np.stack(survey.present).sum(0).tolist())
    yield len(dense.annotated.scenes)


def check_dense_store(store: Store, auditor: Auditor) -> Generator[int, None, None]:
    """Verify the digests of images and truth, and compare all images; yield the number of images done."""
    done, damaged, classes = 0, [], store.card.classes
    trained: NDArray[np.int64] | None = None
    counts = np.zeros(len(classes), np.int64)
    for split in store.splits:
        try:
            stored = store.split(split)
            rows = np.arange(len(stored.labels))
            assert stored.truth is not None, "the card says so"
            found = stored.truth.counts(rows, len(classes))
            if storage.sha256(store.file(split)) != store.card.digests.get(split):
                damaged.append(f"{split}: its bytes changed since they were stored")
            for row, image in enumerate(stored.images):
                auditor.see(image.tobytes(), split=split, label="", name=f"{split}/{row}")
                done += 1
                if done % REPORT_EVERY == 0:
                    yield done
        except DataError as error:
            damaged.append(error.headline)
            continue
        counts += found
        trained = found if split == "train" else trained
    auditor.add("error", "damaged", message="split files that are damaged", names=damaged)
    auditor.conclude({})
    if trained is not None and not damaged:
        untrained = [name for name, count in zip(classes, trained, strict=True) if not count]
        auditor.without_training(untrained, totals=dict(zip(classes, counts.tolist(), strict=True)), unit="objects")
    if store.card.truth != "masks":
        _few(auditor, classes, counts.tolist())
    yield done


def _few(auditor: Auditor, classes: tuple[str, ...], counts: list[int]) -> None:
    few = [f"{name}: {count}" for name, count in zip(classes, counts, strict=True) if 0 < count < FEW]
    auditor.add("warning", "few-objects", message=f"classes with fewer than {FEW} objects", names=few)


def count_objects(store: Store) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return boxes or pixels by class and split, `counts[class][split]`, and the images without any by split."""
    counts: dict[str, dict[str, int]] = {name: {} for name in store.card.classes}
    empty: dict[str, int] = {}
    for split in store.splits:
        stored = store.split(split)
        assert stored.truth is not None, "the card says so"
        rows = np.arange(len(stored.labels))
        for name, number in zip(counts, stored.truth.counts(rows, len(counts)).tolist(), strict=True):
            counts[name][split] = number
        empty[split] = stored.truth.empty(rows)
    return counts, empty
