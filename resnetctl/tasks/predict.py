"""`predict`: class names and probabilities for pictures. With an ONNX file no torch is loaded."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

from resnetctl.data.image_files import BATCH, Listed, skipped
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.files import Survey, image_items, survey
from resnetctl.data.reading.parallel import Outcome, decoded, workers
from resnetctl.data.reading.source import Ignored, Item
from resnetctl.facts import Notice, Progress, result_of
from resnetctl.report.outcomes import PerPicture
from resnetctl.spec import MAX_PIXELS
from resnetctl.system.machine import cores_granted
from resnetctl.system.settings import Settings
from resnetctl.tasks.nets.answers import Answering, open_net
from resnetctl.tasks.nets.labelled import Vector, labelled
from resnetctl.tasks.nets.numbers import numbers_of, require_numbers
from resnetctl.tasks.nets.predicted import FoundOutcome, Search, Wanted, predict_net
from resnetctl.tasks.predictions.checks import (
    check_top,
    no_single_class,
    require_no_folder,
    require_no_score,
    require_no_set,
    set_threshold,
)
from resnetctl.tasks.predictions.moving import Mover
from resnetctl.tasks.predictions.ranking import Picture, Prediction, Ranking, ranked
from resnetctl.tasks.predictions.subjects import resolve_for, square_for
from resnetctl.tasks.targets import Opened, Target, has_head, open_target

REPORT_EVERY = 64  # images; fewer are done before a bar could help


@dataclass(frozen=True, kw_only=True)
class PredictOutcome(PerPicture):
    """The classes of each picture, in order."""

    done: ClassVar[str] = "classified"
    results: tuple[Prediction, ...]

    def body(self) -> dict[str, Any]:
        """Return the results, the problems and the notices."""
        results = [item.to_json() for item in self.results]
        return {"results": results, "problems": list(self.problems), "notices": list(self.notices)}


class Options(TypedDict, total=False):
    """The other arguments of `predict`."""

    top: int
    level: float | None
    max_pixels: int
    batch: int
    move: str | Path | None
    out: str | Path | None
    min_score: float | None
    vectors: str | Path | None
    precision: str


Facts = Generator[Notice | Progress | Prediction, None, None]


def predict(
    target: str | Path | None,
    images: Sequence[str | Path],
    *,
    settings: Settings,
    **options: Unpack[Options],
) -> PredictOutcome | FoundOutcome:
    """Return what `predicting` returns."""
    return result_of(predicting(target, images, settings=settings, **options))


def predicting(
    target: str | Path | None,
    images: Sequence[str | Path],
    *,
    settings: Settings,
    **options: Unpack[Options],
) -> Generator[Progress, None, PredictOutcome | FoundOutcome]:
    """Classify image files; yield the progress.

    A folder stands for all images in it and below, sorted; an archive for those in it; and a pattern such as `*/*.jpg`
    for those that match. A file that cannot be read does not stop the others; its result has the problem.

    Args:
        options: `top`: classes to list, 1 by default; `max_pixels`: larger pictures are refused; `level`: also return
            the prediction set of this level, such as 0.9, for each picture; `batch`: images that the network sees at
            once; `move`: a folder that gets each file, in a folder with the name of its class, if the network gives
            one class an image. For networks with a head: `out`, the folder for pictures with boxes, or for masks;
            `min_score`, the smallest score of a box; `vectors`, the file with the numbers of the pictures. For runs and
            weights: `precision`, fp32 by default, as `eval` and ONNX files compute.

    Raises:
        UsageError: there is no image, the target is an image, `top` is below 1, or an argument does not suit the
            network.
        InputError: the target is missing or unusable, or its card has no prediction sets of this level.
    """
    resolved = resolve_for(target, images, settings=settings)
    check_top(options.get("top", 1))
    if has_head(resolved) and options.get("move") is None:
        return _found(resolved, images, settings=settings, options=options)
    results: list[Prediction] = []
    notices: list[str] = []
    job = open_job(resolved, images, settings=settings, options=options)
    for fact in chain(job.facts(), job.told()):
        if isinstance(fact, Progress):
            yield fact
        elif isinstance(fact, Notice):
            notices.append(fact.text)
        else:
            results.append(job.moved(fact))
    return PredictOutcome(results=tuple(results), notices=tuple(notices))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A loaded network that gives one class an image, and the images that it will classify.

    `numbers` has those of each image, for a network that reads some. `amount` is None until the images are counted.
    `nothing` has a line for each folder, archive or pattern that gave no image, and for each file if none exists.
    """

    target: Target
    opened: Opened | Answering
    images: Sequence[str | Path]
    ranking: Ranking
    max_pixels: int
    cores: int
    mover: Mover | None = None
    amount: Survey | None = None
    nothing: tuple[str, ...] = ()
    numbers: Sequence[Vector] | None = None

    def with_numbers(self, vectors: Any) -> "Job":
        """Return the job with the numbers of each image. Raises as `require_numbers` and `numbers_of`."""
        vector = self.opened.card.vector
        require_numbers(vector, vectors)
        if vector is None:
            return self
        paths = (Path(item.name) for item in self.items(Counter()))
        return replace(self, numbers=numbers_of([Listed(path, path) for path in paths], vectors, vector=vector))

    def surveyed(self, amount: Survey | None = None) -> "Job":
        """Return the job with the amount of its images, which it counts unless it is given, and what gives none."""
        amount = survey(image_items(map(Path, self.images), ignored=Counter())) if amount is None else amount
        if self.mover is not None:  # some files were perhaps moved before
            return replace(self, nothing=amount.nothing)
        return replace(self, amount=amount, nothing=amount.nothing + amount.missing)

    def line(self, item: Prediction) -> dict[str, Any]:
        """Move the file of a prediction, if files are moved, and return its JSON form."""
        return self.moved(item).to_json()

    def facts(self, is_done: Callable[[str], bool] = lambda name: False) -> Facts:
        """Yield the prediction of each image in order, the progress, and notices. Memory does not grow with the images.

        Worker processes decode large work. Images are left out if `is_done` is true for their path.
        """
        yield from (Notice(text) for text in self.target.notices)
        image, is_own, ignored = self.opened.card.image, self._takes_originals, Ignored()
        amount, count, places = self.amount or survey(self.items(Counter())), Counter[str](), deque[int]()
        items = self._undone(is_done, ignored=ignored, count=count, places=places)
        into = square_for(image, is_own=is_own, max_pixels=self.max_pixels)
        with workers(amount, self.cores) as by, closing(decoded(items, into, by=by)) as outcomes:
            for number, prediction in enumerate(self._ranked(map(_picture, outcomes), places), start=1):
                yield prediction
                if number % REPORT_EVERY == 0:
                    yield Progress(what="classifying", done=count.total(), total=amount.total, unit="images")
        if amount.total > REPORT_EVERY:
            yield Progress(what="classifying", done=amount.total, total=amount.total, unit="images")
        yield from (Notice(text) for text in filter(None, [skipped(ignored)]))

    def moved(self, item: Prediction) -> Prediction:
        """Move the file of a prediction, if files are moved, and return the prediction with its new place."""
        if self.mover is None or item.file is None or item.problem is not None:
            return item
        return replace(item, moved=self.mover.move(item.file, item.guesses[0][0]))

    def told(self) -> Iterator[Notice]:
        """Yield notices on the files that were moved and that stayed, after the last `moved`."""
        yield from map(Notice, [] if self.mover is None else self.mover.told())

    @property
    def _takes_originals(self) -> bool:
        return isinstance(self.opened, Opened) and self.opened.takes_originals

    def _undone(
        self, is_done: Callable[[str], bool], *, ignored: Counter[str], count: Counter[str], places: deque[int]
    ) -> Iterator[Item]:
        """Yield the images to classify. Count all, and append the place of each to `places` if images have numbers."""
        for place, item in enumerate(self.items(ignored)):
            count["images"] += 1
            if not is_done(item.name):
                if self.numbers is not None:
                    places.append(place)
                yield item

    def _ranked(self, pictures: Iterable[Picture], places: deque[int]) -> Iterator[Prediction]:
        """Yield the prediction of each picture; `places` has those of the pictures, in their order."""
        if isinstance(self.opened, Opened):
            return ranked(self.opened, pictures, ranking=self.ranking)
        numbers = self.numbers
        numbered = ((picture, None if numbers is None else numbers[places.popleft()]) for picture in pictures)
        return labelled(self.opened, numbered, ranking=self.ranking)

    def items(self, ignored: Counter[str]) -> Iterator[Item]:
        """Yield the images; count what is left out in `ignored`."""
        items = image_items(map(Path, self.images), ignored=ignored)
        return items if self.mover is None else self.mover.outside(items)


def open_job(target: Target, images: Sequence[str | Path], *, settings: Settings, options: Options) -> Job:
    """Load the network and check the options. Raises as `predicting`, and `UsageError` without one class an image."""
    top, level, move = options.get("top", 1), options.get("level"), options.get("move")
    precision = options.get("precision", "fp32")
    check_top(top)
    amount = survey(image_items(map(Path, images), ignored=Counter()))
    opened: Opened | Answering
    if has_head(target):
        require_no_set(level)
        opened = open_net(target, settings, precision=precision)
        _wanted(options).require(opened)
        if opened.form != "labels":
            raise no_single_class(target)
    else:
        require_no_folder(options.get("out"))
        require_no_score(options.get("min_score"))
        require_numbers(None, options.get("vectors"))
        opened = open_target(target, settings, images=amount.total, precision=precision)
    threshold = None if level is None else set_threshold(opened.card, level, where=target.path)
    job = Job(
        target=target,
        opened=opened,
        images=images,
        ranking=Ranking(top=top, threshold=threshold, level=level, batch=options.get("batch", BATCH)),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        cores=settings.threads or cores_granted(),
        mover=None if move is None else Mover(Path(move), opened.card.classes, images=images),
    )
    return job.surveyed(amount).with_numbers(options.get("vectors"))


def open_lines(
    target: str | Path | None, images: Sequence[str | Path], *, settings: Settings, options: Options
) -> Job | Search:
    """Load the network for results one by one: a `Search` for a head, unless files move. Raises as `predicting`."""
    resolved = resolve_for(target, images, settings=settings)
    if not has_head(resolved) or options.get("move") is not None:
        return open_job(resolved, images, settings=settings, options=options)
    require_no_set(options.get("level"))
    net, wanted = open_net(resolved, settings, precision=options.get("precision", "fp32")), _wanted(options)
    wanted.require(net)
    return Search(target=resolved, net=net, images=images, wanted=wanted)


def _picture(outcome: tuple[Item, Outcome]) -> Picture:
    item, pixels = outcome
    return Path(item.name), pixels if isinstance(pixels, BadImage) else pixels.pixels


def _found(target: Target, images: Sequence[str | Path], *, settings: Settings, options: Options) -> FoundOutcome:
    """Return what a network with a head finds. Raises `UsageError` for options that only a classifier has."""
    require_no_set(options.get("level"))
    net = open_net(target, settings, precision=options.get("precision", "fp32"))
    found = predict_net(net, images, wanted=_wanted(options))
    return replace(found, notices=(*target.notices, *found.notices))


def _wanted(options: Options) -> Wanted:
    out = options.get("out")
    return Wanted(
        out=None if out is None else Path(out),
        min_score=options.get("min_score"),
        top=options.get("top", 1),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        vectors=options.get("vectors"),
    )


def classified(
    opened: Opened,
    pictures: Iterable[Listed],
    *,
    top: int,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Prediction]:
    """Yield the `top` likeliest classes of each picture, or its problem, in order. Raises as `probabilities`.

    With a `threshold`, the classes of at least this probability are its prediction set.

    Several threads may do this with one `opened`: nothing here changes it, and neither do torch and onnxruntime.
    """
    image = opened.card.image

    def read(picture: Listed) -> Picture:
        if opened.takes_originals:
            return picture.file, picture.decoded(image.channels, max_pixels=max_pixels)
        return picture.file, picture.pixels(image, max_pixels=max_pixels)

    return ranked(opened, map(read, pictures), ranking=Ranking(top=top, threshold=threshold, batch=BATCH))
