"""Store a source of image files as a dataset, usually in one pass.

Colour and size of the stored images depend on all images. So the first image decides, and the pass starts again when a
later image contradicts it. A pass also starts again when it divided identical images between train and test. There are
few passes, and memory stays flat.
"""

import dataclasses
from array import array
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from resnetctl.data.ingest.chooser import Chooser
from resnetctl.data.ingest.earlier import Earlier
from resnetctl.data.reading.decode import BadImage, open_image
from resnetctl.data.reading.order import ordered, require_shuffle
from resnetctl.data.reading.parallel import Decoded, Square, decoded, workers
from resnetctl.data.reading.source import Item, Items, Source
from resnetctl.data.split_groups import ONE_SIDED
from resnetctl.data.storage.choice import Choice, choose_form
from resnetctl.data.storage.options import UNREADABLE, Options
from resnetctl.data.store import Builder, Original, build
from resnetctl.data.vectors.numbers import Numbers, numbers_of
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, Fit, ImageSpec, Split
from resnetctl.system.processes import Workers
from resnetctl.wording import counted

KEPT_SIDE = 64  # pixels: up to this side, images of one size keep their size
PHOTO_STORED, PHOTO_SIZE = 256, 224
REPORT_EVERY = 200  # images
LISTING = "listing"  # key in the digests of the card: the digest of the source, to detect changes


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The assumed shape of the images. `native`: the (width, height) of all images; None: images are resized."""

    channels: int
    native: tuple[int, int] | None
    options: Options

    @property
    def fit(self) -> Fit:
        return "crop" if self.options.fit == "auto" else self.options.fit

    @cached_property
    def image(self) -> ImageSpec:
        side = self.options.size or (min(self.native) if self.native else 0)
        return ImageSpec(
            size=side or PHOTO_SIZE,
            resize=side or PHOTO_STORED,
            channels=self.channels,
            mean=(0.5,) * self.channels,
            std=(0.25,) * self.channels,
            fit=self.fit,
        )

    def square(self, *, has_data: bool) -> Square:
        return Square(
            channels=self.channels,
            resize=self.image.resize,
            fit=self.fit,
            max_pixels=self.options.max_pixels,
            has_data=has_data,
        )


class _Replan(Exception):
    """An image contradicts the plan, or identical images are divided. `plan` is the new plan, `choose` the chooser."""

    def __init__(self, plan: _Plan, choose: "Chooser | None" = None) -> None:
        super().__init__()
        self.plan = plan
        self.choose = choose


@dataclass
class _Tally:
    """Counts of one pass over the source."""

    bad: list[str] = field(default_factory=list)
    animated: int = 0
    has_colour: bool = False
    stored: int = 0
    seen: set[tuple[str, str]] = field(default_factory=set)  # label and split of the stored images
    places: "array[int]" = field(default_factory=lambda: array("q"))  # of the stored images, as the chooser counts


def ingest(
    data_dir: Path, name: str, *, source: Source, options: Options, cores: int = 1
) -> Generator[int, None, None]:
    """Store `source` as dataset `name`; yield the number of images done after every 200.

    With several `cores`, worker processes decode large sources; the stored bytes are the same.

    Raises:
        DataError: images are bad (all are listed, in order), or lack numbers, or there is no train split.
        UsageError: the name is taken, or an archive cannot be shuffled.
        WorkFailed: a worker died.
    """
    if options.shuffle:
        require_shuffle(source)
    earlier = Earlier.of(data_dir, name) if options.replace else None
    choose = Chooser.of(source, earlier)
    replaced = earlier.replaced() if earlier is not None and choose.known is not None else {}
    numbers = None if options.vectors is None else numbers_of(source, options.vectors)
    plan = _first_plan(source, options)
    with workers(source, cores) as by:
        while True:
            work = _Pass(source=source, plan=plan, choose=choose.fresh(), by=by, numbers=numbers, replaced=replaced)
            try:
                yield from work.run(data_dir, name)
                return
            except _Replan as better:
                plan, choose = better.plan, better.choose or choose


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
    choose: "Chooser"
    by: Workers | None
    numbers: Numbers | None = None
    replaced: Mapping[str, bool] = field(default_factory=dict)
    tally: _Tally = field(default_factory=_Tally)

    def run(self, data_dir: Path, name: str) -> Generator[int, None, None]:
        """Write the dataset; yield the number of images done. Raises `_Replan` when an image contradicts the plan."""
        options, source = self.plan.options, self.source
        choice = choose_form(options.storage, data_dir, count=source.total, image=self.plan.image, size=source.size)
        square, draft = self.plan.square(has_data=choice.storage == "jpeg"), self._draft(name, choice)
        places: deque[tuple[int, Split]] = deque()  # of the items that are being decoded
        with (
            build(
                data_dir, name, draft=draft, replace=options.replace, shard_bytes=options.shard_mb * 2**20
            ) as builder,
            closing(self._items(places)) as items,
            closing(decoded(items, square, by=self.by)) as outcomes,
        ):
            for done, (item, outcome) in enumerate(outcomes, start=1):
                place, split = places.popleft()
                if isinstance(outcome, BadImage):
                    self.tally.bad.append(outcome.headline)
                else:
                    self.tally.places.append(place)
                    self._store(item, split, outcome=outcome, builder=builder)
                if done % REPORT_EVERY == 0:
                    yield done
            self._finish(builder)
        yield self.source.total

    def _items(self, places: deque[tuple[int, Split]]) -> Items:
        """Yield the items in the order of the store; append the place and the split of each."""
        with closing(ordered(self.source, self.choose, is_shuffled=self.plan.options.shuffle)) as placed:
            for item, place in placed:
                places.append(place)
                yield item

    def _draft(self, name: str, choice: Choice) -> DatasetCard:
        return DatasetCard(
            name=name,
            classes=self.source.classes,
            image=self.plan.image,
            splits={},
            source=str(self.source.path.resolve()),
            defaults={
                "mirror": self.plan.channels == 3
            },  # grey images are often writing or scans, which mirroring changes
            notes=choice.notes,
            storage=choice.storage,
            vector=None if self.numbers is None else self.numbers.draft,
            replaced=self.replaced,
        )

    def _store(self, item: Item, split: Split, *, outcome: Decoded, builder: Builder) -> None:
        self._require_plan(outcome, split)
        self.tally.has_colour |= split == "train" and outcome.has_colour
        self.tally.animated += outcome.is_animated
        file = Original(item.name, outcome.sha256, outcome.data)
        builder.add_file(split, outcome.pixels, label=item.label, file=file, group=item.group)
        if self.numbers is not None:
            builder.add_vector(split, self.numbers.table.of(item.name))
        self.tally.stored += 1
        self.tally.seen.add((item.label, split))

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
        places = np.asarray(tally.places, np.int64)
        better = self.choose.joining(builder.groups(), places)
        if better is not None:
            raise _Replan(plan, better)
        if self.numbers is not None:
            builder.notes.extend(self.numbers.notes(builder.vector, strict=plan.options.strict))
        builder.digests[LISTING] = self.source.listing
        builder.notes.extend(_notes(self.source, tally, self.choose.remark(places), builder.counts))


def _one_sided(tally: _Tally, labels: list[str], counts: Mapping[str, int], *, is_drawn: bool) -> Iterator[str]:
    """Yield a note on the classes that are in train only, and one on those in test only."""
    for split in ("train", "test") if {"train", "test"} <= counts.keys() else ():
        missing = [label for label in labels if (label, split) not in tally.seen]
        if missing:
            more = "" if len(missing) <= 20 else f" and {len(missing) - 20:,} more"
            reason = ", too few images to split" if is_drawn else ""
            yield f"{ONE_SIDED} {split}{reason}: {', '.join(missing[:20])}{more}"


def _notes(source: Source, tally: _Tally, remark: str, counts: Mapping[str, int]) -> list[str]:
    notes = []
    if remark and "test" not in counts:
        notes.append("no test split: no class has a second image to set aside")
    elif remark:
        notes.append(remark)
    elif "test" not in source.splits:
        notes.append("no test split: eval uses val")
    if source.ignored:
        notes.append("ignored: " + ", ".join(f"{count:,} {kind}" for kind, count in source.ignored.items()))
    stored = {label for label, _ in tally.seen}
    empty = [label for label in source.classes if label not in stored]
    if empty:
        notes.append(f"classes without an image that can be read: {', '.join(empty[:20])}")
    notes += _one_sided(tally, [label for label in source.classes if label in stored], counts, is_drawn=bool(remark))
    if tally.animated:
        notes.append(f"animated images, of which the first frame is used: {tally.animated:,}")
    if tally.bad:
        more = "" if len(tally.bad) <= 20 else f" and {len(tally.bad) - 20:,} more"
        notes.append(f"{UNREADABLE}: {len(tally.bad):,}: {'; '.join(tally.bad[:20])}{more}")
    return notes


def _bad_images(bad: list[str], source: Source) -> DataError:
    return DataError(
        f"{len(bad):,} of {counted(source.total, 'image')} cannot be read",
        where=str(source.path),
        problems=bad,
        hint=Call("data add", (source.path,), {"on_bad_image": "skip"}, note="leaves them out"),
    )
