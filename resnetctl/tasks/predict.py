"""`predict`: class names and probabilities for pictures. With an ONNX file no torch is loaded."""

from collections import Counter
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
from resnetctl.data.reading.source import Item
from resnetctl.errors import InputError, UsageError
from resnetctl.facts import Notice, Progress, result_of
from resnetctl.hints import Call, Setting
from resnetctl.report.outcomes import PerPicture
from resnetctl.spec import MAX_PIXELS, WeightsCard
from resnetctl.system.machine import cores_granted
from resnetctl.system.settings import Settings
from resnetctl.tasks.nets.answers import open_net
from resnetctl.tasks.nets.numbers import require_numbers
from resnetctl.tasks.nets.predicted import FoundOutcome, Wanted, predict_net
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
            once; `move`: a folder that gets each file, in a folder with the name of its class. For networks with a
            head: `out`, the folder for pictures with boxes, or for masks; `min_score`, the smallest score of a box;
            `vectors`, the file with the numbers of the pictures.

    Raises:
        UsageError: there is no image, the target is an image, `top` is below 1, or an argument does not suit the
            network.
        InputError: the target is missing or unusable, or its card has no prediction sets of this level.
    """
    resolved = resolve_for(target, images, settings=settings)
    check_top(options.get("top", 1))
    if has_head(resolved):
        return _found(resolved, images, settings=settings, options=options)
    results: list[Prediction] = []
    notices: list[str] = []
    job = open_job(resolved, images, settings=settings, options=options)
    for fact in chain(job.facts(), job.unmoved()):
        if isinstance(fact, Progress):
            yield fact
        elif isinstance(fact, Notice):
            notices.append(fact.text)
        else:
            results.append(job.moved(fact))
    return PredictOutcome(results=tuple(results), notices=tuple(notices))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A loaded classifier, and the images that it will classify. `amount` is None until they are counted."""

    target: Target
    opened: Opened
    images: Sequence[str | Path]
    ranking: Ranking
    max_pixels: int
    cores: int
    mover: Mover | None = None
    amount: Survey | None = None

    def facts(self, is_done: Callable[[str], bool] = lambda name: False) -> Facts:
        """Yield the prediction of each image in order, the progress, and notices. Memory does not grow with the images.

        Worker processes decode large work. Images are left out if `is_done` is true for their path.
        """
        yield from (Notice(text) for text in self.target.notices)
        image, is_own, ignored = self.opened.card.image, self.opened.takes_originals, Counter[str]()
        amount, count = self.amount or survey(self._items(Counter())), Counter[str]()
        items = (item for item in self._items(ignored) if _counted(item, count) and not is_done(item.name))
        into = square_for(image, is_own=is_own, max_pixels=self.max_pixels)
        with workers(amount, self.cores) as by, closing(decoded(items, into, by=by)) as outcomes:
            for number, prediction in enumerate(
                ranked(self.opened, map(_picture, outcomes), ranking=self.ranking), start=1
            ):
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

    def unmoved(self) -> Iterator[Notice]:
        """Yield the notice on files that stayed, after the last `moved`."""
        left = "" if self.mover is None else self.mover.left()
        yield from (Notice(text) for text in filter(None, [left]))

    def _items(self, ignored: Counter[str]) -> Iterator[Item]:
        items = image_items(map(Path, self.images), ignored=ignored)
        return items if self.mover is None else self.mover.outside(items)


def open_job(target: Target, images: Sequence[str | Path], *, settings: Settings, options: Options) -> Job:
    """Load the network and check the options. Raises as `predicting`."""
    require_no_folder(options.get("out"))
    require_numbers(None, options.get("vectors"))
    top, level, move = options.get("top", 1), options.get("level"), options.get("move")
    check_top(top)
    amount = survey(image_items(map(Path, images), ignored=Counter()))
    opened = open_target(target, settings, images=amount.total)
    threshold = None if level is None else set_threshold(opened.card, level, where=target.path)
    return Job(
        target=target,
        opened=opened,
        images=images,
        ranking=Ranking(top=top, threshold=threshold, level=level, batch=options.get("batch", BATCH)),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        cores=settings.threads or cores_granted(),
        mover=None if move is None else Mover(Path(move), opened.card.classes, images=images),
        amount=amount if move is None else None,  # some files were perhaps moved before
    )


def _counted(item: Item, count: Counter[str]) -> bool:
    count["images"] += 1
    return True


def _picture(outcome: tuple[Item, Outcome]) -> Picture:
    item, pixels = outcome
    return Path(item.name), pixels if isinstance(pixels, BadImage) else pixels.pixels


def _found(target: Target, images: Sequence[str | Path], *, settings: Settings, options: Options) -> FoundOutcome:
    """Return what a network with a head finds. Raises `UsageError` for options that only a classifier has."""
    require_no_set(options.get("level"))
    if options.get("move") is not None:
        raise no_single_class(target)
    out = options.get("out")
    wanted = Wanted(
        out=None if out is None else Path(out),
        min_score=options.get("min_score"),
        top=options.get("top", 1),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        vectors=options.get("vectors"),
    )
    found = predict_net(open_net(target, settings), images, wanted=wanted)
    return replace(found, notices=(*target.notices, *found.notices))


def require_no_folder(out: object) -> None:
    """Raise `UsageError` for the folder of drawn pictures, for a classifier."""
    if out is not None:
        raise UsageError("this network is a classifier, which draws nothing", where=Setting("out"))


def require_no_set(level: float | None) -> None:
    """Raise `UsageError` for the level of prediction sets, for a network with a head."""
    if level is not None:
        raise UsageError("this network is no classifier, so it has no prediction sets", where=Setting("set"))


def no_single_class(target: Target) -> UsageError:
    """Return the error for a network whose results have no single class, where one is needed."""
    return UsageError(
        "this network is no classifier: its results have no single class", where=str(target.path),
        hint="print them as a table or as one JSON document",
    )  # fmt: skip


def check_top(top: int) -> None:
    """Raise `UsageError` when `top` is no number of classes to list."""
    if top < 1:
        raise UsageError(f"{top} classes cannot be listed", where=Setting("top"), hint=Setting("top", 1))


def set_threshold(card: WeightsCard, level: float, *, where: Path) -> float:
    """Return the smallest probability of a class in prediction sets of `level`.

    Raises:
        UsageError: `level` is not between 0 and 1, or the card has other levels.
        InputError: the card has no prediction sets.
    """
    if not 0 < level < 1:
        raise UsageError(f"a level is a fraction between 0 and 1, not {level:g}", where=Setting("set"))
    if card.calibration is None:
        raise InputError(
            "the weights have no prediction sets: no val split with at least 100 images has calibrated them",
            where=str(where),
            hint=Call("report", (where,), {"calibrate": "NEW.safetensors"}),
        )
    for known, threshold in card.calibration.sets.items():
        if float(known) == level:
            return threshold
    others = [Setting("set", float(item)) for item in card.calibration.sets]
    raise UsageError(f"the weights have no prediction sets of level {level:g}", where=Setting("set"), hint=others)


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
