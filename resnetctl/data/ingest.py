"""Store a source of image files as a dataset, usually in one pass.

Colour and size of the stored images depend on all images. So the first image decides, and the pass starts again when a
later image contradicts it. There are at most three passes, and memory stays flat.
"""

import dataclasses
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.reading.decode import BadImage, open_image
from resnetctl.data.reading.parallel import Decoded, Square, decoded, workers
from resnetctl.data.reading.source import Item, Source
from resnetctl.data.splits import stratified
from resnetctl.data.store import Builder, build
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import DatasetCard, Fit, ImageSpec, Split
from resnetctl.system.processes import Workers
from resnetctl.wording import counted

KEPT_SIDE = 64  # pixels: up to this side, images of one size keep their size
PHOTO_STORED, PHOTO_SIZE = 256, 224
TEST_FRACTION = 0.2
REPORT_EVERY = 200  # images
LISTING = "listing"  # key in the digests of the card: the digest of the source, to detect changes


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to store images. `size` is the stored side in pixels, None: automatic. Bad images are errors or skipped."""

    size: int | None = None
    fit: Fit = "crop"
    on_bad_image: Literal["error", "skip"] = "error"
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The assumed shape of the images. `native`: the (width, height) of all images; None: images are resized."""

    channels: int
    native: tuple[int, int] | None
    options: Options

    @cached_property
    def image(self) -> ImageSpec:
        side = self.options.size or (min(self.native) if self.native else 0)
        return ImageSpec(
            size=side or PHOTO_SIZE,
            resize=side or PHOTO_STORED,
            channels=self.channels,
            mean=(0.5,) * self.channels,
            std=(0.25,) * self.channels,
            fit=self.options.fit,
        )

    @property
    def square(self) -> Square:
        return Square(channels=self.channels, resize=self.image.resize, fit=self.options.fit)


class _Replan(Exception):
    """An image contradicts the plan. `plan` is the new plan."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan


@dataclass
class _Tally:
    """Counts of one pass over the source."""

    bad: list[str] = field(default_factory=list)
    animated: int = 0
    has_colour: bool = False
    stored: int = 0


def ingest(
    data_dir: Path, name: str, *, source: Source, options: Options, cores: int = 1
) -> Generator[int, None, None]:
    """Store `source` as dataset `name`; yield the number of images done after every 200.

    With several `cores`, worker processes decode large sources; the stored bytes are the same.

    Raises:
        DataError: images are bad (all are listed, in order), or there is no train split.
        UsageError: the name is taken.
        WorkFailed: a worker died.
    """
    choose = _Chooser.of(source)
    plan = _first_plan(source, options)
    with workers(source, cores) as by:
        while True:
            work = _Pass(source=source, plan=plan, choose=choose.fresh(), by=by)
            try:
                yield from work.run(data_dir, name)
                return
            except _Replan as better:
                plan = better.plan


def _first_plan(source: Source, options: Options) -> _Plan:
    """Return the plan that suits the first readable image. Raises `DataError` when no image is readable."""
    bad: list[str] = []
    with closing(source.items()) as items:
        for item in items:
            try:
                image, _ = open_image(item.read(), item.name)
            except BadImage as error:
                bad.append(error.headline)
                continue
            small = options.size is None and max(image.size) <= KEPT_SIDE
            return _Plan(channels=1 if image.mode == "L" else 3, native=image.size if small else None, options=options)
    raise _bad_images(bad, source)


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """One pass over the source with one plan."""

    source: Source
    plan: _Plan
    choose: "_Chooser"
    by: Workers | None
    tally: _Tally = field(default_factory=_Tally)

    def run(self, data_dir: Path, name: str) -> Generator[int, None, None]:
        """Write the dataset; yield the number of images done. Raises `_Replan` when an image contradicts the plan."""
        with (
            build(data_dir, name, draft=self._draft(name), replace=self.plan.options.replace) as builder,
            closing(self.source.items()) as items,
            closing(decoded(items, self.plan.square, by=self.by)) as outcomes,
        ):
            for done, (item, outcome) in enumerate(outcomes, start=1):
                split = self.choose(item)
                if isinstance(outcome, BadImage):
                    self.tally.bad.append(outcome.headline)
                else:
                    self._store(item, split, outcome=outcome, builder=builder)
                if done % REPORT_EVERY == 0:
                    yield done
            self._finish(builder)
        yield self.source.total

    def _draft(self, name: str) -> DatasetCard:
        return DatasetCard(
            name=name,
            classes=self.source.classes,
            image=self.plan.image,
            splits={},
            source=str(self.source.path.resolve()),
            defaults={
                "mirror": self.plan.channels == 3
            },  # grey images are often writing or scans, which mirroring changes
        )

    def _store(self, item: Item, split: Split, *, outcome: Decoded, builder: Builder) -> None:
        self._require_plan(outcome, split)
        self.tally.has_colour |= split == "train" and outcome.has_colour
        self.tally.animated += outcome.is_animated
        builder.add(split, outcome.pixels, label=item.label, name=item.name, sha256=outcome.sha256)
        self.tally.stored += 1

    def _require_plan(self, outcome: Decoded, split: Split) -> None:
        """Raise `_Replan` when an image contradicts the plan: colour in a grey train split, or a different size."""
        better = self.plan
        if better.channels == 1 and outcome.has_colour and split == "train":
            better = dataclasses.replace(better, channels=3)
        if better.native is not None and outcome.size != better.native:
            better = dataclasses.replace(better, native=None)
        if better is not self.plan:
            raise _Replan(better)

    def _finish(self, builder: Builder) -> None:
        tally, plan = self.tally, self.plan
        if tally.bad and (plan.options.on_bad_image == "error" or not tally.stored):
            raise _bad_images(tally.bad, self.source)
        if plan.channels == 3 and not tally.has_colour:
            raise _Replan(dataclasses.replace(plan, channels=1))
        builder.digests[LISTING] = self.source.listing
        builder.notes.extend(_notes(self.source, tally, self.choose.has_fixed_test, builder.counts))


@dataclass(frozen=True, kw_only=True)
class _Chooser:
    """Chooses the split of each item: that of the source, or train and a fixed test split if it has none."""

    test: Mapping[str, NDArray[np.bool_]] | None
    seen: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, source: Source) -> "_Chooser":
        """Return the chooser for `source`. Raises `DataError` when it has splits but no train."""
        if source.splits and "train" not in source.splits:
            raise DataError(
                f"there is {' and '.join(source.splits)}, but no train split",
                where=str(source.path),
                hint="name a folder 'train', or put all class folders into one folder",
            )
        if source.splits not in ((), ("train",)):
            return cls(test=None)
        sizes = [source.counts[source.splits[0] if source.splits else None, label] for label in source.classes]
        labels = np.repeat(np.arange(len(sizes)), sizes)
        chosen = np.zeros(len(labels), np.bool_)
        chosen[stratified(labels, TEST_FRACTION, seed=0, purpose="test")] = True
        parts = np.split(chosen, np.cumsum(sizes)[:-1])
        return cls(test=dict(zip(source.classes, parts, strict=True)))

    def fresh(self) -> "_Chooser":
        return _Chooser(test=self.test)

    @property
    def has_fixed_test(self) -> bool:
        return self.test is not None

    def __call__(self, item: Item) -> Split:
        if self.test is None:
            assert item.split is not None, "every item of a source with splits has one"
            return item.split
        place = self.seen[item.label]
        self.seen[item.label] += 1
        return "test" if self.test[item.label][place] else "train"


def _notes(source: Source, tally: _Tally, has_fixed_test: bool, counts: Mapping[str, int]) -> list[str]:
    notes = []
    if has_fixed_test and "test" not in counts:
        notes.append("no test split: no class has a second image to set aside")
    elif has_fixed_test:
        notes.append("test: a fixed, stratified 20 % of the images, set aside when they were added")
    elif "test" not in source.splits:
        notes.append("no test split: eval uses val")
    if source.ignored:
        notes.append("ignored: " + ", ".join(f"{count:,} {kind}" for kind, count in source.ignored.items()))
    if tally.animated:
        notes.append(f"animated images, of which the first frame is used: {tally.animated:,}")
    if tally.bad:
        more = "" if len(tally.bad) <= 20 else f" and {len(tally.bad) - 20:,} more"
        notes.append(f"skipped, because they cannot be read: {len(tally.bad):,}: {'; '.join(tally.bad[:20])}{more}")
    return notes


def _bad_images(bad: list[str], source: Source) -> DataError:
    return DataError(
        f"{len(bad):,} of {counted(source.total, 'image')} cannot be read",
        where=str(source.path),
        problems=bad,
        hint=Setting("on_bad_image", "skip", note="leaves them out"),
    )
