"""`rc.Predictor`: a network that is loaded once and answers for pictures, from files and from memory."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from resnetctl.config.arguments import require_known
from resnetctl.config.calls import checked
from resnetctl.data.image_files import BATCH, Picture, is_file, listed, skipped
from resnetctl.data.reading.source import Ignored
from resnetctl.errors import warn_caller
from resnetctl.facts import result_of
from resnetctl.spec import MAX_PIXELS, WeightsCard
from resnetctl.system import settings as machine
from resnetctl.system.machine import cores_granted
from resnetctl.tasks import predict as task
from resnetctl.tasks import targets
from resnetctl.tasks.nets import answers, predicted
from resnetctl.tasks.nets.numbers import require_numbers
from resnetctl.tasks.predictions import checks
from resnetctl.tasks.predictions.job import JobReport, write_table
from resnetctl.tasks.predictions.moving import Mover
from resnetctl.tasks.predictions.ranking import Ranking

Vectors = str | PathLike[str] | NDArray[Any] | Sequence[Sequence[float]] | None
Target = str | PathLike[str] | None  # a run, its name, or a file; None: the newest run
Guess = TypedDict("Guess", {"class": str, "probability": float})
FoundBox = TypedDict("FoundBox", {"class": str, "score": float, "box": list[float]})
Share = TypedDict("Share", {"class": str, "share": float})


class PictureResult(TypedDict):
    """The result for one picture. `file` is None for a picture in memory, `problem` for one that was read.

    A classifier gives `predictions`, and `set` when a level was asked for: the classes of the prediction set, the
    likeliest first. Where the file can say it, `strange` is True for a picture unlike anything in training, and
    `distance` is what it follows from. Networks with a head give the `size` (width, height) of the picture and
    `written`, the file in `out`. A detector gives `boxes`, x1 y1 x2 y2 in pixels of the picture, the best first. A
    segmenter gives `mask`, the class of each pixel, uint8 (H, W), None for a picture with a problem; and `classes` with
    their share of the pixels.
    A network for several labels gives `labels` with probabilities, the likeliest first; one that reads numbers besides
    the picture gives `predictions`, as a classifier does.
    """

    file: str | None
    predictions: NotRequired[list[Guess]]
    problem: str | None
    set: NotRequired[list[str]]
    strange: NotRequired[bool]
    distance: NotRequired[float]
    size: NotRequired[list[int]]
    boxes: NotRequired[list[FoundBox]]
    classes: NotRequired[list[Share]]
    labels: NotRequired[list[Guess]]
    mask: NotRequired[NDArray[np.uint8] | None]
    written: NotRequired[str | None]


class OfHeads(TypedDict, total=False):
    """Arguments for networks with a head, and for weights; see `Predictor`."""

    min_score: float | None
    out: str | PathLike[str] | None
    precision: str


class OfOneCall(OfHeads, total=False):
    """As `OfHeads`, and the numbers of the pictures of one call."""

    vectors: Vectors


class Predictor:
    """A loaded network that answers for pictures: `cats = rc.Predictor("runs/last"); cats("cat.jpg")`.

    It is loaded once and may be called from several threads. torch's number of threads is left as it is.

    Attributes:
        card: the `WeightsCard`: classes, image size and arch.
    """

    @checked()
    def __init__(
        self,
        target: Target = None,
        *,
        top: int = 1,
        set: float | None = None,
        max_pixels: int = MAX_PIXELS,
        device: str | None = None,
        **of_heads: Unpack[OfHeads],
    ) -> None:
        """Load a run, a weights file or an ONNX file. None: the newest run.

        Args:
            top: number of classes in each result, unless the call says otherwise.
            set: add the prediction set of this level, such as 0.9, to each result.
            max_pixels: images with more pixels get a problem.
            device: `cpu`, `cuda` or `mps`; an ONNX file always runs on the CPU.
            of_heads: for networks with a head: `min_score`, the smallest score of a box (0.3) or probability of one of
                several labels (0.5); `out`, a folder for the pictures with boxes, or for the masks (PNG). For runs and
                weights: `precision`, fp32 by default; `bf16` is faster on some processors, and `auto` takes it there.

        Raises:
            UsageError: this machine has no such device, `top` is below 1, or an argument does not suit the network.
            InputError: the target is missing or unusable, or has no prediction sets of this level.
        """
        require_known(of_heads, Predictor, options=OfHeads)
        checks.check_top(top)
        settings = machine.load()
        resolved = targets.resolve(targets.text(target), settings)
        self._target, self._cores = resolved, settings.threads or cores_granted()
        self._top, self._max_pixels, self._level, self._threshold = top, max_pixels, set, None
        out, precision = of_heads.get("out"), of_heads.get("precision", "fp32")
        self._min_score, self._out = of_heads.get("min_score"), None if out is None else Path(out)
        self._net: answers.Answering | None = None
        if targets.has_head(resolved):
            checks.require_no_set(set)
            self._net = answers.open_net(resolved, settings, device=device, keep_threads=True, precision=precision)
            self.card: WeightsCard = self._net.card
            self._wanted(top=top, vectors=None).require_form(self._net)
        else:
            checks.require_no_folder(out)
            checks.require_no_score(self._min_score)
            self._opened = targets.open_target(
                resolved, settings, device=device, keep_threads=True, precision=precision
            )
            self.card = self._opened.card
            self._threshold = None if set is None else checks.set_threshold(self.card, set, where=resolved.path)
        for notice in resolved.notices:
            warn_caller(notice)

    @checked(except_for=["pictures"])
    def __call__(
        self, pictures: Picture | Iterable[Picture], *, top: int | None = None, vectors: Vectors = None
    ) -> list[PictureResult]:
        """Return one result for each picture, in order; a picture that cannot be read has a problem in its result.

        Args:
            pictures: one or several paths, bytes of image files, open files, uint8 arrays `(H, W, C)` or `(H, W)`, or
                PIL images. A folder stands for all images in it and below, sorted.
            top: number of classes in each result.
            vectors: for a network that reads numbers with each picture: an array `(pictures, columns)` in their order
                and that of `card.vector.columns`, or a CSV or `.npy` file.

        Raises:
            UsageError: `top` is below 1, or the network reads numbers and gets none, or the other way round.
            DataError: numbers cannot be used, or a picture has none.
        """
        top = self._top if top is None else top
        checks.check_top(top)
        if self._net is not None:
            return self._searched(self._net, _several(pictures), wanted=self._wanted(top=top, vectors=vectors))
        require_numbers(None, vectors)
        ignored = Ignored()
        each = listed(_several(pictures), ignored=ignored)
        found = task.classified(self._opened, each, top=top, threshold=self._threshold, max_pixels=self._max_pixels)
        results = [cast("PictureResult", item.to_json()) for item in found]
        if ignored:
            warn_caller(skipped(ignored))
        return results

    predict = __call__

    def _wanted(self, *, top: int, vectors: Vectors) -> predicted.Wanted:
        return predicted.Wanted(
            out=self._out, min_score=self._min_score, top=top, max_pixels=self._max_pixels, vectors=vectors
        )

    def _searched(
        self, net: answers.Answering, pictures: Iterable[Picture], *, wanted: predicted.Wanted
    ) -> list[PictureResult]:
        """Return what a network with a head finds in each picture."""
        outcome = predicted.predict_net(net, pictures, wanted=wanted)
        for notice in outcome.notices:
            warn_caller(notice)
        masks: list[dict[str, Any]] = [{"mask": item.mask} if net.form == "masks" else {} for item in outcome.results]
        found = [{**item.to_json(outcome.form), **mask} for item, mask in zip(outcome.results, masks, strict=True)]
        return [cast("PictureResult", item) for item in found]

    @checked()
    def to_csv(
        self,
        images: str | PathLike[str] | Iterable[str | PathLike[str]],
        csv: str | PathLike[str],
        *,
        batch: int = BATCH,
        move: str | PathLike[str] | None = None,
        vectors: Vectors = None,
    ) -> JobReport:
        """Write a row for each image into the file `csv`; the same call goes on with it after a stop.

        Memory does not grow with the number of images, and worker processes decode large work. Images that cannot be
        read have a row with their problem; `problems` of the report lists them.

        Args:
            images: paths of image files, folders and archives, and patterns such as `*/*.jpg`.
            batch: images that the network sees at once.
            move: a folder that gets each file, in a folder with the name of its class.
            vectors: as in a call.

        Raises:
            UsageError: the network gives no single class for an image, `csv` is another table, or has predictions of
                other weights; `batch` is below 1; or files cannot move there.
            DataError: a folder, an archive or a pattern gives no image, or no file exists; nothing was written.
        """
        if self._net is not None and self._net.form != "labels":
            raise checks.no_single_class(self._target)
        paths = [Path(item) for item in ([images] if isinstance(images, str | PathLike) else images)]
        job = task.Job(
            target=self._target,
            opened=self._net or self._opened,
            images=paths,
            ranking=Ranking(top=self._top, threshold=self._threshold, level=self._level, batch=batch),
            max_pixels=self._max_pixels,
            cores=self._cores,
            mover=None if move is None else Mover(Path(move), self.card.classes, images=paths),
        )
        report, _ = result_of(write_table(job.surveyed().with_numbers(vectors), Path(csv)))
        return report

    def __repr__(self) -> str:
        return f"Predictor({self.card.arch.name}, {len(self.card.classes)} classes)"


def _several(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Return the pictures as an iterable; an array of 4 dimensions has several."""
    is_one = isinstance(pictures, str | PathLike | bytes | bytearray | memoryview) or is_file(pictures)
    is_one = is_one or not isinstance(pictures, Iterable)
    if is_one or getattr(pictures, "ndim", 4) < 4:
        return [cast("Picture", pictures)]
    return cast("Iterable[Picture]", pictures)
