"""Store pictures with boxes or masks as a dataset: first every annotation is checked, then every picture is decoded.

All problems are one error; nothing is stored then.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.dense.boxes import BoxCheck
from resnetctl.data.dense.files import Files
from resnetctl.data.dense.geometry import fit_mask, placement
from resnetctl.data.dense.masks import HINT, TWO_LEVELS, MaskReader, levels_of
from resnetctl.data.dense.scenes import Annotated, Scene
from resnetctl.data.dense.sniff import Dense
from resnetctl.data.dense.stored import SceneTruth
from resnetctl.data.images import square
from resnetctl.data.ingest.chooser import TEST_FRACTION
from resnetctl.data.ingest.earlier import Earlier, kept_remark
from resnetctl.data.ingest.images import LISTING
from resnetctl.data.reading.decode import BadImage, Header, open_image, read_header
from resnetctl.data.splits import stratified
from resnetctl.data.storage.choice import choose_form
from resnetctl.data.storage.options import UNREADABLE, Options
from resnetctl.data.store import Builder, Original, build
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import IGNORE, DatasetCard, Fit, ImageSpec, Split
from resnetctl.wording import counted

LARGEST, TRAINED = 512, 320  # pixels: the largest stored side, and the side that nets see by default
FIXED = "test: a fixed 20 % of the images, stratified by their rarest class, set aside when they were added"
REPORT_EVERY = 50  # images
SHOWN = 20  # names in a note
GREY = ("1", "L", "LA", "La", "I;16", "I;16B")  # modes of files without colour
ENDLESS = (2**62, 2**62)  # the size of a picture of which nothing is known


@dataclass
class Survey:
    """What the headers and annotations say: the shape of the store, the rarest class of each picture, and problems."""

    problems: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    side: int = 0
    channels: int = 1
    present: list[NDArray[np.int64]] = field(default_factory=list)  # boxes or pixels by class, for each scene
    hidden: list[str] = field(default_factory=list)  # masks without a known pixel
    remark: str = ""  # how the test split was chosen


@dataclass(frozen=True, kw_only=True)
class Work:
    """A source, how to store it, and what judges its boxes and reads its masks."""

    files: Files
    source: Annotated
    options: Options
    boxes: BoxCheck
    masks: MaskReader

    @classmethod
    def of(cls, dense: Dense, options: Options) -> Work:
        """Return the work on a source; pictures are padded unless the options say otherwise."""
        source = dense.annotated
        return cls(
            files=dense.files,
            source=source,
            options=replace(options, fit="pad" if options.fit == "auto" else options.fit),
            boxes=BoxCheck(strict=options.strict),
            masks=MaskReader(classes=source.classes, palette=source.palette),
        )

    @property
    def fit(self) -> Fit:
        assert self.options.fit != "auto", "`of` chose it"
        return self.options.fit

    def survey(self) -> Survey:
        """Check every annotation against the header of its picture, and every mask."""
        survey = Survey(problems=list(self.source.problems))
        for scene in self.source.scenes:
            header = self._header(scene, survey)
            counts = self._counts(scene, header, survey)
            if header is not None:
                survey.side = max(survey.side, *header.size)
                survey.channels = survey.channels if header.mode in GREY else 3
                survey.scenes.append(scene)
                survey.present.append(counts)
        survey.problems += self.boxes.problems
        is_sound = self.source.truth == "masks" and survey.present and not survey.problems
        if is_sound and not np.stack(survey.present)[:, 1:].any():
            survey.problems.append(f"no mask has a level other than 0 and 255, and {TWO_LEVELS}")
        if survey.hidden:
            names = ", ".join(survey.hidden[:SHOWN])
            survey.notes.append(
                f"masks that are 'not known' everywhere, which teach nothing: {len(survey.hidden):,} ({names})"
            )
        return survey

    def _header(self, scene: Scene, survey: Survey) -> Header | None:
        """Return the header of a picture; None, and its problem in the survey, if it has none."""
        if not scene.image_exists:
            return None
        try:
            header = read_header(self.files.read(scene.name), scene.name, max_pixels=self.options.max_pixels)
        except BadImage as error:
            survey.bad.append(f"{error.where}: {error.message}")
            return None
        if scene.size is not None and scene.size != header.size:
            said, real = (f"{width}x{height}" for width, height in (scene.size, header.size))
            survey.problems.append(f"{scene.where}: it says {said} pixels, and {scene.name} has {real}")
        return header

    def _counts(self, scene: Scene, header: Header | None, survey: Survey) -> NDArray[np.int64]:
        """Return the boxes, pixels or tags of each class; record what is wrong with them.

        A box that lies in the picture, or in the picture as the annotation has it, is not called outside as well.
        """
        if self.source.truth == "tags":
            return self._tags(scene).astype(np.int64)
        if scene.mask:
            return self._mask_counts(scene, header, survey)
        sizes = [size for size in (scene.size, header.size if header else None) if size] or [ENDLESS]
        width, height = map(max, zip(*sizes, strict=True))
        labels = [self.source.classes.index(item.label) for item in self.boxes.check(scene, (width, height))]
        return np.bincount(np.array(labels, np.int64), minlength=len(self.source.classes))

    def _tags(self, scene: Scene) -> NDArray[np.uint8]:
        return np.array([name in scene.tags for name in self.source.classes], np.uint8)

    def _mask_counts(self, scene: Scene, header: Header | None, survey: Survey) -> NDArray[np.int64]:
        """Return the pixels of each class; zeros for a mask that cannot be used."""
        counts = np.zeros(len(self.source.classes), np.int64)
        try:
            levels = levels_of(self.files.read(scene.mask), scene.mask, max_pixels=self.options.max_pixels)
            if header is not None and levels.shape[1::-1] != header.size:
                own, other = (f"{width}x{height}" for width, height in (levels.shape[1::-1], header.size))
                survey.problems.append(f"{scene.mask}: the mask has {own} pixels, and {scene.name} has {other}")
            mask = self.masks.classes_of(levels, scene.mask)
        except BadImage as error:
            survey.problems.append(f"{error.where}: {error.message}")
            return counts
        counts[:] = np.bincount(mask.ravel(), minlength=IGNORE + 1)[: len(counts)]
        survey.hidden += [] if counts.any() else [scene.mask]
        return counts

    def store(self, scene: Scene, builder: Builder, *, split: Split, label: int) -> None:
        """Decode one picture and add it with its truth. Raises `BadImage`."""
        data = self.files.read(scene.name)
        image, _ = open_image(data, scene.name, max_pixels=self.options.max_pixels)
        spec = builder.image
        pixels = square(image, spec.channels, resize=spec.resize, fit=self.fit)
        if self.source.truth == "tags":
            truth = SceneTruth(size=image.size, tags=self._tags(scene))
        elif scene.mask:
            mask = self.masks.read(self.files.read(scene.mask), scene.mask)
            truth = SceneTruth(size=image.size, mask=fit_mask(mask, side=spec.resize, fit=self.fit))
        else:
            place = placement(*image.size, side=spec.resize, fit=self.fit)
            truth = self.boxes.truth(scene, image.size, place=place, classes=self.source.classes)
        file = Original(scene.name, sha256(data).hexdigest(), data)
        builder.add_scene(split, pixels, label=label, truth=truth, file=file)

    def finish(self, builder: Builder, survey: Survey, *, bad: list[str]) -> None:
        """Write the notes. Raises `DataError` when pictures cannot be read and none may be skipped."""
        if bad and self.options.on_bad_image == "error":
            raise DataError(
                f"{len(bad):,} of {counted(len(self.source.scenes), 'image')} cannot be read",
                where=str(self.source.path),
                problems=bad,
                hint=Call("data add", (self.source.path,), {"on_bad_image": "skip"}, note="leaves them out"),
            )
        if bad:
            builder.notes.append(f"{UNREADABLE}: {len(bad):,}: {'; '.join(bad[:SHOWN])}")
        builder.digests[LISTING] = self.source.listing
        remarks = [*self.source.remarks, *survey.notes, *self.boxes.notes(SHOWN)]
        builder.notes += [*_split_notes(survey, builder), *remarks]


def ingest_dense(data_dir: Path, name: str, *, source: Dense, options: Options) -> Generator[int, None, None]:
    """Store `source` as dataset `name`; yield the number of pictures done.

    Raises:
        DataError: annotations or pictures are bad (all are listed), or there is no train split.
        UsageError: the name is taken.
    """
    work = Work.of(source, options)
    survey = work.survey()
    if survey.problems:
        survey.bad = _unreadable(work, survey)
    _require_sound(work.source, survey)
    labels = _rarest(survey.present, len(work.source.classes))
    earlier = Earlier.of(data_dir, name) if options.replace and _is_drawn(survey.scenes) else None
    splits = _splits(work, survey, labels=labels, earlier=earlier)
    survey.notes += _untrained(work.source, survey, splits)
    draft = _draft(name, work, survey)
    size = sum(work.files.size(scene.name) for scene in survey.scenes)
    choice = choose_form(options.storage, data_dir, count=len(survey.scenes), image=draft.image, size=size)
    draft = replace(draft, storage=choice.storage, notes=choice.notes, replaced=earlier.replaced() if earlier else {})
    with build(data_dir, name, draft=draft, replace=options.replace) as builder:
        bad = list(survey.bad)
        for done, (scene, label, split) in enumerate(zip(survey.scenes, labels, splits, strict=True), start=1):
            try:
                work.store(scene, builder, split=split, label=label)
            except BadImage as error:
                bad.append(f"{error.where}: {error.message}")
            if done % REPORT_EVERY == 0:
                yield done
        work.finish(builder, survey, bad=bad)
    yield len(work.source.scenes)


def _unreadable(work: Work, survey: Survey) -> list[str]:
    """Return the pictures that cannot be decoded, to list them with the problems of the annotations."""
    bad = list(survey.bad)
    for scene in survey.scenes:
        try:
            open_image(work.files.read(scene.name), scene.name, max_pixels=work.options.max_pixels)
        except BadImage as error:
            bad.append(f"{error.where}: {error.message}")
    return bad


def _require_sound(source: Annotated, survey: Survey) -> None:
    """Raise one `DataError` with every problem of the annotations."""
    if survey.problems:
        lines = [line.replace(f". {HINT}", "") for line in survey.problems]  # said once, below
        raise DataError(
            f"{counted(len(lines) + len(survey.bad), 'problem')} in {counted(len(source.scenes), 'image')} "
            f"with annotations ({source.format})",
            where=str(source.path),
            problems=[*lines, *survey.bad],
            hint="correct the files that are named" if lines == survey.problems else HINT[0].lower() + HINT[1:],
        )
    if not source.classes or not survey.scenes:
        raise DataError(
            f"no {'label' if source.truth == 'tags' else 'object'} in {counted(len(source.scenes), 'image')} "
            f"({source.format})",
            where=str(source.path),
            problems=survey.bad,
        )
    known = {scene.split for scene in source.scenes}
    if None not in known and "train" not in known:
        raise DataError(f"there is {' and '.join(sorted(map(str, known)))}, but no train split", where=str(source.path))
    if None in known and len(known) > 1:
        lost = [scene.name for scene in source.scenes if scene.split is None]
        raise DataError("some images have a split and some have none", where=str(source.path), problems=lost)


def _rarest(present: list[NDArray[np.int64]], classes: int) -> list[int]:
    """Return the class in each picture that fewest pictures have; `classes` for a picture without one.

    Splits are stratified by it, so that a rare class is in every split.
    """
    table = np.stack(present) > 0
    order = np.argsort(table.sum(0), kind="stable")  # rare classes first
    found = table[:, order]
    rarest: list[int] = np.where(found.any(1), order[found.argmax(1)], classes).tolist()
    return rarest


def _is_drawn(scenes: list[Scene]) -> bool:
    return all(scene.split in (None, "train") for scene in scenes)


def _splits(work: Work, survey: Survey, *, labels: list[int], earlier: Earlier | None) -> list[Split]:
    """Return the split of each picture: that of the source, or a fixed test split and train.

    A picture of the dataset that is replaced keeps its split.
    """
    scenes, known = survey.scenes, None
    if not _is_drawn(scenes):
        return [scene.split or "train" for scene in scenes]
    if earlier is not None:
        reads = (partial(work.files.read, scene.name) for scene in scenes)
        splits = [earlier.split_of(scene.name, read) for scene, read in zip(scenes, reads, strict=True)]
        known = np.array(splits, np.int8)
    rows = stratified(np.array(labels, np.int64), TEST_FRACTION, seed=0, purpose="test", known=known)
    is_test = np.isin(np.arange(len(scenes)), rows)
    survey.remark = FIXED if known is None else kept_remark(known, is_test)
    return ["test" if chosen else "train" for chosen in is_test.tolist()]


def _untrained(source: Annotated, survey: Survey, splits: list[Split]) -> list[str]:
    """Return a line with the classes that train lacks."""
    shown = np.stack(survey.present)[np.array(splits) == "train"].sum(0)
    names = [name for name, count in zip(source.classes, shown.tolist(), strict=True) if not count]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    what = {"boxes": "a box", "masks": "a pixel"}.get(source.truth, "an image")
    return [f"classes without {what} in train, which no network can learn: {', '.join(names[:SHOWN])}{more}"] * any(
        names
    )


def _split_notes(survey: Survey, builder: Builder) -> list[str]:
    if survey.remark:
        return [survey.remark]
    return [] if "test" in builder.counts else ["no test split: eval uses val"]


def _draft(name: str, work: Work, survey: Survey) -> DatasetCard:
    channels, side = survey.channels, work.options.size or min(survey.side, LARGEST)
    grey = (0.5,) * channels
    return DatasetCard(
        name=name,
        classes=work.source.classes,
        image=ImageSpec(size=side, channels=channels, mean=grey, std=grey, fit=work.fit),
        splits={},
        source=str(work.source.path.resolve()),
        defaults={"mirror": channels == 3, "size": min(side, TRAINED)},
        truth=work.source.truth,
    )
